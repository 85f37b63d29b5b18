package jsengine

import (
	"context"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
)

// machines makes machines that the test releases.
func machines(t *testing.T) moduletest.NewMachines {
	return func(p *program.Program) (program.Machines, error) {
		m, err := New(context.Background(), p)
		if err != nil {
			return nil, err
		}
		t.Cleanup(m.Release)
		return m, nil
	}
}

func TestSuite(t *testing.T) { moduletest.Run(t, machines(t)) }
