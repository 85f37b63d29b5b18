// Command places goes on at as many places of functions as it can: after calls that blocked, grew or shrank the stack, or panicked, and
// with the collector running all the time. What it prints is the same however the program was processed (places.test.ts).
package main

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall/js"
	"time"
)

type node struct {
	next    *node
	a, b, c int
}

func (n *node) get() int { return n.a } // small enough to be inlined, where that is asked for

func (n *node) sum() int { return n.get() + n.b + n.next.get() }

func (n *node) valued(by int) int { return n.a * by }

var sink *node

// deep makes the stack grow, collects at its end, and holds pointers into each of its frames.
//
//go:noinline
func deep(n int, up *int) int {
	own := [9]int{n, *up}
	list := &node{a: n, next: sink}
	if n == 0 {
		runtime.GC()
		return *up
	}
	r := deep(n-1, &own[0])
	own[1] += list.a - n
	if own[0] != n || own[1] != *up || list.a != n {
		panic(fmt.Sprint("the frame of ", n, " has changed: ", own, *up, list.a))
	}
	return r + own[0]
}

//go:noinline
func grow(n int) int { return deep(n, new(int)) }

// garbage takes the room of what was freed too early.
//
//go:noinline
func garbage() {
	for i := range 50 {
		sink = &node{a: -i, b: -1, c: -1}
	}
	sink = nil
}

//go:noinline
func checks(p, q, r *node, which int) (got string) {
	step := 0
	kept := &node{a: 77}
	defer func() {
		garbage()
		got = fmt.Sprint(step, " ", kept.a, " ", grow(30), " ", recover())
	}()
	x := p.a
	step = 1
	x += q.b + grow(3)
	step = 2
	x += r.sum()
	step = 3
	for i := range 6 {
		step = 10 + i
		if i == which {
			p = nil
		}
		x += p.c
		if i > 3 {
			step = 20 + i
			x += q.next.get()
		}
		garbage()
	}
	var none func(int) int
	if which == 7 {
		step = 30
		x += none(x)
	}
	var array *[1 << 20]int
	if which == 8 {
		step = 31
		x += array[1<<19+x&1]
	}
	step = x
	return
}

func nilChecks() {
	full := func() *node { return &node{a: 1, b: 2, c: 3, next: &node{a: 4, next: &node{}}} }
	for which := range 10 {
		fmt.Println(which, checks(full(), full(), full(), which))
	}
	fmt.Println(checks(nil, full(), full(), 9), checks(full(), nil, full(), 9), checks(full(), full(), nil, 9), checks(full(), full(), &node{}, 9), checks(full(), &node{}, full(), 9))
}

// fall panics n frames down, of which every third defers, and every seventh recovers and panics anew.
//
//go:noinline
func fall(n int, list *node, trail *[]int) int {
	local := &node{a: n, next: list}
	if n == 0 {
		return sink.a + local.a
	}
	if n%3 == 0 {
		defer func() { *trail = append(*trail, local.a+grow(n%20)) }()
	}
	if n%7 == 0 {
		defer func() {
			err := recover()
			garbage()
			*trail = append(*trail, -local.a)
			panic(fmt.Sprint(len(fmt.Sprint(err)), " at ", local.next.a, local.a))
		}()
	}
	return fall(n-1, local, trail) + local.a + 1
}

func falls() {
	for _, n := range []int{1, 2, 3, 7, 21, 50, 150} {
		var trail []int
		func() {
			defer func() { fmt.Println(n, recover(), trail) }()
			fmt.Println(fall(n, &node{a: 1000}, &trail))
		}()
	}
}

//go:noinline
func openDefers(n int) (result int, text string) {
	own := &node{a: n}
	add := func(i int) { result += i * own.a; grow(10) }
	defer add(1)
	if n&1 != 0 {
		defer func() { add(10); text += fmt.Sprint("r", recover()) }()
	}
	if n&2 != 0 {
		defer func() { add(100); panic("second") }()
	}
	if n&4 != 0 {
		defer func() { text += "d"; garbage(); recover() }()
	}
	grow(5)
	if n&8 != 0 {
		var m map[string]int
		m["x"] = n
	}
	return own.a, "returned"
}

//go:noinline
func loopDefers(n int) (all []int) {
	for i := range n {
		defer func() {
			err := recover()
			all = append(all, i)
			if err != nil {
				all = append(all, len(fmt.Sprint(err)))
			}
			if i%3 == 1 {
				panic(fmt.Sprint("defer ", i))
			}
		}()
		garbage()
	}
	panic("the first")
}

func defers() {
	for n := range 16 {
		func() {
			defer func() {
				if err := recover(); err != nil {
					fmt.Println(n, "panics", err)
				}
			}()
			fmt.Println(openDefers(n))
		}()
	}
	fmt.Println(loopDefers(12))
	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			defer func() { fmt.Println("left", n, recover(), grow(40)) }()
			defer func() {
				defer func() { fmt.Println("within", n, recover()) }()
				if n == 2 {
					panic("while it leaves")
				}
			}()
			if n > 0 {
				exits(n * 20)
			}
		})
		wait.Wait()
	}
}

//go:noinline
func exits(n int) int {
	own := &node{a: n}
	defer garbage()
	if n == 0 {
		runtime.Goexit()
	}
	return exits(n-1) + own.a
}

var faults = []func(n int, s []int, v any) int{
	func(n int, s []int, v any) int { return s[n] },
	func(n int, s []int, v any) int { return len(s[n:]) },
	func(n int, s []int, v any) int { return 10 / (n - 9) },
	func(n int, s []int, v any) int { return v.(int) },
	func(n int, s []int, v any) int { return len(v.(fmt.Stringer).String()) },
	func(n int, s []int, v any) int { return int([4]int(s)[0]) },
	func(n int, s []int, v any) int { return len(make([]int, n-10)) },
	func(n int, s []int, v any) int { close((chan int)(nil)); return 0 },
	func(n int, s []int, v any) int { return len(map[any]int{s: n}) },
	func(n int, s []int, v any) int { panic(errors.New("plain")) },
}

func caughtFaults() {
	for i, f := range faults {
		func() {
			own := &node{a: i}
			defer func() { fmt.Println(own.a, recover(), grow(i)) }()
			f(9, []int{1}, "text")
		}()
	}
}

// parked blocks at each of its places, of which there are more than a byte can count.
func parking() {
	const workers = 20
	type worker struct {
		in, out chan int
	}
	all := make([]worker, workers)
	for i := range all {
		all[i] = worker{make(chan int), make(chan int)}
		go func() {
			grow(20 * i) // a stack that is shrunk later
			all[i].out <- parked(all[i].in, i)
		}()
	}
	for round := range callsOfParked + 2*workers {
		for i, w := range all {
			if at := round - 2*i; at >= 0 && at < callsOfParked {
				w.in <- round
			}
		}
		if round%16 == 0 {
			runtime.GC()
			garbage()
		}
	}
	for i, w := range all {
		fmt.Print(i, ":", <-w.out, " ")
	}
	fmt.Println()
}

//go:noinline
func step(in chan int, x int, p *node) (int, *node) {
	got := <-in
	if p.a != x {
		panic(fmt.Sprint("at ", x, " is ", p.a))
	}
	x = (x*31 + got) & 0xffff
	return x, &node{a: x, next: &node{a: p.a}}
}

func selecting() {
	a, b, c, done := make(chan int), make(chan *node, 1), make(chan string), make(chan bool)
	go func() {
		defer close(done)
		for i := range 30 {
			own := &node{a: i}
			switch i % 4 {
			case 0:
				a <- i
			case 1:
				b <- own
			case 2:
				c <- fmt.Sprint(i)
			case 3:
				select {
				case a <- own.a:
				case c <- "never" + fmt.Sprint(grow(5)):
				}
			}
			runtime.Gosched()
		}
	}()
	text := &strings.Builder{}
	var never chan string
	for open := true; open; {
		own := &node{a: text.Len()}
		select {
		case n := <-a:
			fmt.Fprint(text, "a", n)
		case n := <-b:
			fmt.Fprint(text, "b", n.a)
		case s := <-c:
			if strings.HasPrefix(s, "never") {
				s = "7"
			}
			fmt.Fprint(text, "c", len(s))
		case <-never:
		case <-done:
			open = false
		}
		if own.a > text.Len() {
			panic("lost")
		}
		select {
		case <-never:
		default:
			garbage()
		}
	}
	fmt.Println(len(text.String()) > 60, strings.HasPrefix(text.String(), "a0b1c"))
	var lock sync.Mutex
	cond, turn, order := sync.NewCond(&lock), 0, []int{}
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			lock.Lock()
			defer lock.Unlock()
			own := &node{a: i}
			for turn != own.a {
				cond.Wait()
			}
			grow(i)
			order = append(order, own.a)
			turn++
			cond.Broadcast()
		})
	}
	wait.Wait()
	<-time.After(time.Millisecond)
	fmt.Println(order)
}

func tree(n int) iter.Seq[*node] {
	return func(yield func(*node) bool) {
		defer garbage()
		for i := range n {
			if !yield(&node{a: i, next: &node{a: grow(i % 5)}}) {
				return
			}
		}
	}
}

func iterating() {
	next, stop := iter.Pull(tree(20))
	total := 0
	for n, ok := next(); ok && n.a < 15; n, ok = next() {
		runtime.GC()
		total += n.a*100 + n.next.a
	}
	stop()
	text := func() (text string) {
		defer func() { text += fmt.Sprint(recover()) }()
		for n := range tree(9) {
			defer func() { text += fmt.Sprint(n.a) }()
			if n.a == 6 {
				panic("in a loop")
			}
		}
		return "never"
	}()
	found := func() int {
		for n := range tree(9) {
			for m := range tree(4) {
				if n.a*m.a == 12 {
					return n.a*10 + m.a
				}
			}
		}
		return -1
	}()
	fmt.Println(total, text, found)
}

func reflecting() {
	n := &node{a: 5}
	method := reflect.ValueOf(n.valued)
	bound := n.valued
	n = nil
	garbage()
	runtime.GC()
	made := reflect.MakeFunc(reflect.TypeOf(many), func(args []reflect.Value) []reflect.Value {
		grow(100)
		list := args[1].Interface().([]*node)
		return []reflect.Value{reflect.ValueOf(list[len(list)-1]), reflect.ValueOf(fmt.Sprint(len(list), args[2].Interface().([40]int)[39]))}
	}).Interface().(func(*node, []*node, [40]int, float64) (*node, string))
	p, s := made(&node{a: 1}, []*node{{a: 2}, {a: 3}}, [40]int{39: 9}, 1.5)
	out := reflect.ValueOf(many).Call([]reflect.Value{reflect.ValueOf(&node{a: 8}), reflect.ValueOf([]*node{{a: 6}}), reflect.ValueOf([40]int{1}), reflect.ValueOf(2.5)})
	func() {
		defer func() { fmt.Println(recover()) }()
		reflect.ValueOf(checksNothing).Call([]reflect.Value{reflect.ValueOf((*node)(nil))})
	}()
	fmt.Println(method.Call([]reflect.Value{reflect.ValueOf(7)})[0].Int(), bound(9), p.a, s, out[0].Interface().(*node).a, out[1])
}

func checksNothing(n *node) int { return n.b }

//go:noinline
func many(p *node, list []*node, array [40]int, f float64) (*node, string) {
	grow(50)
	return &node{a: p.a + list[0].a + array[0]}, fmt.Sprint(f, p.a)
}

// callers says how many frames there are, whether the runtime names them or not.
func callers(n int) {
	var pcs [200]uintptr
	if n > 0 {
		callers(n - 1)
		return
	}
	found, frames := runtime.Callers(0, pcs[:]), 0
	for all, more := runtime.CallersFrames(pcs[:found]), true; more; frames++ {
		_, more = all.Next()
	}
	fmt.Println(found, frames, len(debug.Stack()) > 100)
}

//go:noinline
func machine(n int) (text string) {
	own := &node{a: n}
	state := 0
again:
	for i := 0; ; i++ {
		switch state {
		case 0:
			garbage()
			state = 3
			goto again
		case 1:
			text += fmt.Sprint(own.a)
			if own.a--; own.a < 0 {
				return text
			}
			state = 2 + i%2
		case 2:
			state = grow(2) - 2
		case 3:
			if i > 5 {
				state = 1
				continue again
			}
			runtime.Gosched()
		default:
			panic(state)
		}
	}
}

//go:noinline
func large(n int) int {
	var room [5000]int
	own := &node{a: n}
	room[n] = n
	if n > 0 {
		room[n+1] = large(n - 1)
	}
	runtime.GC()
	return room[n+1] + room[n] + own.a
}

// living tells what the collector finds alive at a place: no more and no less than what is used later.
func living() {
	freed := map[string]bool{}
	watched := func(name string) *node {
		n := &node{a: len(name)}
		runtime.SetFinalizer(n, func(*node) { freed[name] = true })
		return n
	}
	collect := func(when string) {
		for range 3 {
			runtime.GC()
			<-time.After(time.Millisecond)
		}
		fmt.Println(when, freed)
	}
	func() {
		first, second, third := watched("first"), watched("second"), watched("third")
		collect("all")
		if second.a == 6 {
			first.a += third.a
		}
		collect(fmt.Sprint("first ", first.a))
		for range 2 {
			collect("in a loop")
		}
		runtime.KeepAlive(third)
	}()
	collect("none")
}

//go:wasmimport test back
func back(n int32) int32

//go:wasmimport test later
func later(n int32)

//go:wasmexport twice
func twice(n int32) int32 { return 2*n + int32(grow(int(n&63))) - int32(n&63)*(int32(n&63)+1)/2 }

//go:wasmexport exchanging
func exchanging(a int64, b float64, n int32) float64 {
	out := make(chan *node)
	go func() {
		grow(60)
		out <- &node{a: int(a)}
	}()
	own := &node{b: int(n)}
	got := <-out // another goroutine runs
	return float64(got.a)*b + float64(own.b)
}

//go:wasmexport nested
func nested(n int32) int32 {
	own := &node{a: int(n)}
	if n > 70000 {
		return back(n-1) + int32(own.a)
	}
	return int32(func() (got int) {
		defer func() { recover(); got = own.a }()
		return sink.a
	}())
}

var said = make(chan string)

//go:wasmexport say
func say(n int32) { go func() { said <- fmt.Sprint("said ", n) }() }

func exported() {
	resume := js.FuncOf(func(js.Value, []js.Value) any { return nil })
	defer resume.Release()
	js.Global().Set("resume", resume)
	later(65536)
	fmt.Println(<-said)
	fmt.Println(back(70005), back(3))
	again := js.FuncOf(func(_ js.Value, args []js.Value) any {
		grow(20)
		return args[0].Int() + int(back(70002))
	})
	defer again.Release()
	fmt.Println(again.Invoke(5).Int())
}

func main() {
	debug.SetGCPercent(1)
	var group sync.WaitGroup
	for _, part := range []func(){nilChecks, falls, defers, caughtFaults, parking, selecting, iterating, reflecting, func() { callers(0); callers(50) },
		func() { fmt.Println(machine(6), large(30), grow(3000)) }, living, exported} {
		group.Go(part) // with a small stack
		group.Wait()
	}
}
