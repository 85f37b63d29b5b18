package syncserver

import (
	"maps"
	"slices"

	"skerry/shared/hub"
)

// relayBytes is how much may wait to be relayed in one space. What is over it nobody is sent.
const relayBytes = 1 << 20

// relay hands what a connection said to all that watch the space, beside everything else: it never waits, and nobody waits for
// it. The connection is locked.
func (s *Server) relay(c *connection, said hub.Relayed) {
	h := c.watching[said.Space]
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.saidBytes+len(said.Message) > relayBytes {
		s.metrics.ephemeralsLost.Inc()
		return
	}
	s.metrics.ephemerals.Inc()
	h.said = append(h.said, said)
	h.saidBytes += len(said.Message)
	if !h.relaying {
		h.relaying = s.spawn(h.relay)
	}
}

func (h *hotSpace) relay() {
	for {
		h.mu.Lock()
		said := h.said
		h.said, h.saidBytes = nil, 0
		if len(said) == 0 {
			h.relaying = false
			h.mu.Unlock()
			return
		}
		watchers := slices.Collect(maps.Values(h.watchers))
		h.mu.Unlock()
		for _, c := range watchers {
			for _, relayed := range said {
				c.step(relayed)
			}
		}
	}
}
