//go:build !js

package wasmclient_test

import (
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/wasmclient"
)

// TestOverQuota: what an identity has no room for on the server waits in its replica, which says so, and goes up when something was deleted.
func TestOverQuota(t *testing.T) {
	var config *syncserver.Config
	inJudgedBubbleWith(t, func(c *syncserver.Config) { config = c; c.Quotas.Spaces = 2 }, func(j *judged) {
		ada := j.tab(j.device("ada"))
		rest := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		write := func(s *wasmclient.Space) *wasmclient.Receipt {
			t.Helper()
			receipt, err := s.Append(j.Context(), "message", map[string]any{"text": "important"})
			if err != nil {
				t.Fatal(err)
			}
			return receipt
		}
		var spaces []*wasmclient.Space
		var receipts []*wasmclient.Receipt
		for range 3 {
			s, err := ada.CreateSpace(j.Context(), wasmclient.SpaceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			spaces = append(spaces, s)
			receipts = append(receipts, write(s))
			rest(time.Second)
		}
		over := spaces[2]
		rest(5 * time.Minute)
		if info := over.Info(); info.Created || info.Pending != 1 || info.Rejected != 0 || info.Reason != "over_quota" || info.RetryAt == 0 {
			t.Errorf("over the quota of spaces: %+v", info)
		}
		if _, err := spaces[0].Delete(j.Context()); err != nil {
			t.Fatal(err)
		}
		rest(5 * time.Minute)
		if info := over.Info(); !info.Created || info.Pending != 0 || info.Code != 0 {
			t.Errorf("after a space was deleted: %+v", info)
		}

		usage, err := j.site.log.Usage(j.Context(), ada.Identity())
		if err != nil || usage.Spaces != 2 {
			t.Fatalf("usage: %+v %v", usage, err)
		}
		config.Quotas.Bytes = usage.Bytes + 1
		j.restart()
		receipts = append(receipts, write(over), write(over))
		rest(5 * time.Minute)
		if info := over.Info(); info.Pending != 2 || info.Rejected != 0 || info.Code != wire.CodeOverQuota || info.RetryAt == 0 {
			t.Errorf("over the quota of bytes: %+v", info)
		}
		if _, err := spaces[1].Delete(j.Context()); err != nil {
			t.Fatal(err)
		}
		rest(5 * time.Minute)
		if info := over.Info(); info.Pending != 1 || info.Position.Seq != 2 || info.Code != wire.CodeOverQuota {
			t.Errorf("with room for one of two: %+v", info)
		}
		config.Quotas.Bytes = 0
		j.restart()
		for i, receipt := range receipts {
			if _, err := receipt.Synced(j.Context()); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}
