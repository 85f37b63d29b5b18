package jsengine

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/wire"
)

// TestTrials runs what comes in, a trial on each line, and answers with what came of it: package wasmengine compares that with
// what its own engines tell. It is for Node, with SKERRY_TRIALS.
func TestTrials(t *testing.T) {
	if os.Getenv("SKERRY_TRIALS") == "" {
		t.Skip("it is run by the test of package wasmengine")
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var answer struct {
			Lines []string
			Fault string
		}
		var trial moduletest.Trial
		if err = json.Unmarshal(line, &trial); err == nil {
			answer.Lines, err = runTrial(&trial)
		}
		if err != nil {
			answer.Fault = err.Error()
		}
		content, err := json.Marshal(&answer)
		if err == nil {
			_, err = os.Stdout.Write(append(content, '\n'))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func runTrial(trial *moduletest.Trial) ([]string, error) {
	var all []*Machines
	defer func() {
		for _, m := range all {
			m.Release()
		}
	}()
	return trial.Run(func(p *program.Program) (program.Machines, error) {
		m, err := New(context.Background(), p)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		return m, nil
	}, &moduletest.Tally{Codes: map[wire.Code]int{}})
}
