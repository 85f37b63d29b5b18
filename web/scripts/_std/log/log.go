// Package log is what a page has in place of the standard one, of which go-indexeddb uses this alone: to say that something failed. With
// formats, times and flags it takes 4 kB.
//
// Stable: nothing; package log is Go's.
package log

// Println writes texts and errors to the console.
func Println(values ...any) {
	for _, value := range values {
		switch v := value.(type) {
		case string:
			print(v, " ")
		case error:
			print(v.Error(), " ")
		}
	}
	println()
}
