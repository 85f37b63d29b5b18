package memlog

import (
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

func TestLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened {
		log := New()
		return logtest.Opened{
			Log:    log,
			Second: func() syncserver.Log { return log },
			SetHead: func(id space.ID, head space.Head) {
				s := log.spaces[id]
				s.base, s.head = head.Seq, head
			},
			Hints: true,
		}
	})
}
