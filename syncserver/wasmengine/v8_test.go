package wasmengine

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"skerry/shared/module/meter"
)

// v8 is the engine of Chromium, in Node: a third one for modules of any imports and exports.
type v8 struct {
	in  io.Writer
	out *bufio.Reader
}

// startV8 starts it, where Node is installed; else it returns nil, which compares nothing.
func startV8(t testing.TB) *v8 {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("node is not installed: V8 is not compared")
		return nil
	}
	command := exec.Command(node, "testdata/observe.mjs")
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = command.Wait()
	})
	return &v8{in, bufio.NewReader(out)}
}

// compare wants V8 to do with a metered module what the lines of another engine say.
func (v *v8) compare(t *testing.T, module []byte, m *meter.Metered, want []string) {
	t.Helper()
	if v == nil || slices.Equal(want, []string{"no imports"}) {
		return
	}
	type function struct {
		Module    string `json:"module"`
		Name      string `json:"name"`
		Signature string `json:"signature"`
	}
	question := struct {
		Bytes   []byte     `json:"bytes"`
		Imports []function `json:"imports"`
		Exports []function `json:"exports"`
		Memory  string     `json:"memory"`
		Fuel    int        `json:"fuel"`
	}{Bytes: m.Bytes, Imports: []function{}, Exports: []function{}, Fuel: fuzzFuel}
	for _, i := range m.Imports {
		question.Imports = append(question.Imports, function{i.Module, i.Name, i.Signature})
	}
	for _, e := range callsOf(m) {
		question.Exports = append(question.Exports, function{Name: e.Name, Signature: e.Signature})
	}
	for _, e := range m.Exports {
		if e.Memory {
			question.Memory = e.Name
		}
	}
	line, err := json.Marshal(question)
	if err == nil {
		_, err = v.in.Write(append(line, '\n'))
	}
	if err == nil {
		line, err = v.out.ReadBytes('\n')
	}
	var answer struct {
		Lines []string `json:"lines"`
		Fault string   `json:"fault"`
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || answer.Fault != "" {
		t.Fatalf("V8: %v %s: %s", err, answer.Fault, keep(t, module))
	}
	if len(answer.Lines) != len(want) {
		t.Fatalf("V8 makes %d calls, not %d: %s", len(answer.Lines), len(want), keep(t, module))
	}
	for i, got := range answer.Lines {
		if want := want[i]; got != want && (question.Memory != "" || got != withoutMemory(want)) {
			t.Fatalf("V8 differs in call %d:\n%s\n%s\n%s", i, got, want, keep(t, module))
		}
	}
}

// withoutMemory takes what is said of the memory out of a line, which JavaScript cannot see unless it is exported.
func withoutMemory(line string) string {
	before, rest, found := strings.Cut(line, " memory ")
	if !found {
		return line
	}
	_, after, _ := strings.Cut(rest, " | ")
	return before + " | " + after
}
