package syncserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Retention says how much of its log a space keeps. What is over it expires now and then, whole transactions from the beginning on: so a
// space may have a tenth more of records and bytes. Zero fields say nothing, and the zero Retention keeps everything.
type Retention struct {
	Age     time.Duration // records are kept at least so long, and not much longer
	Records uint64        // so many of the newest are kept at least
	Bytes   uint64        // so many bytes ([space.Record.Size]) of the newest
}

// retainEvery is how often it is looked for what expires.
const retainEvery = time.Hour

// A space may be over what it keeps by a tenth, and by so many records or bytes: otherwise the two records that an expiry writes would
// have the next two expire.
const (
	slackRecords = 16
	slackBytes   = 4 << 10
)

const retentionPrefix = "retain/"

func retentionKey(id space.ID) string { return retentionPrefix + id.String() }

func (r Retention) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(r.Age.Milliseconds()))
	return binary.AppendUvarint(binary.AppendUvarint(b, r.Records), r.Bytes)
}

func decodeRetention(b []byte) (r Retention, err error) {
	for _, into := range []*uint64{nil, &r.Records, &r.Bytes} {
		value, n := binary.Uvarint(b)
		if n <= 0 || into == nil && value > uint64(maxAge.Milliseconds()) {
			return Retention{}, errors.New("what a space keeps is unreadable")
		}
		if b = b[n:]; into == nil {
			r.Age = time.Duration(value) * time.Millisecond
		} else {
			*into = value
		}
	}
	return r, nil
}

// maxAge is the longest age that can be told from for ever.
const maxAge = 200 * 365 * 24 * time.Hour

// validate says what is wrong with what somebody wants to be kept.
func (r Retention) validate() error {
	if r.Age < 0 || r.Age > maxAge || r.Age%time.Millisecond != 0 {
		return fmt.Errorf("an age of %v is negative, longer than %v, or not of milliseconds", r.Age, maxAge)
	}
	return nil
}

// SetRetention sets what a space keeps, in place of what the server's configuration says; nil: that counts again. It only writes to
// the log, so it may be called while no server runs, or by one.
func SetRetention(ctx context.Context, log Log, id space.ID, r *Retention) error {
	if _, err := log.Head(ctx, id); err != nil {
		return err
	}
	var value []byte
	if r != nil {
		if err := r.validate(); err != nil {
			return err
		}
		value = r.encode()
	}
	return setKey(ctx, log, retentionKey(id), value)
}

// RetentionOf returns what a space keeps by a setting of its own, and false if it has none.
func RetentionOf(ctx context.Context, log Log, id space.ID) (r Retention, own bool, err error) {
	value, err := log.Key(ctx, retentionKey(id))
	if err == nil && value != nil {
		r, err = decodeRetention(value)
	}
	return r, value != nil, err
}

// retention returns what a space keeps.
func (s *Server) retention(ctx context.Context, id space.ID) (r Retention, own bool, err error) {
	if r, own, err = RetentionOf(ctx, s.log, id); err != nil || own {
		return r, own, err
	}
	if s.isSystem(id) {
		return Retention{Age: max(s.config.SystemAge, 0)}, false, nil
	}
	return s.config.Retention, false, nil
}

// retainAll has expire what is over what its space keeps, one space after the other.
func (s *Server) retainAll() {
	if !s.retaining.TryLock() {
		return // the last time is not over yet
	}
	defer s.retaining.Unlock()
	one := func(id space.ID) error {
		if err := s.retain(s.work, id); ignoreGone(err) != nil && s.work.Err() == nil {
			s.logger.Error("cannot have records of a space expire, yet", "space", id, "error", err)
		}
		return nil
	}
	var err error
	if s.config.Retention != (Retention{}) {
		err = EachSpace(s.work, s.log, one)
	} else { // those keep something that say so themselves, and the system space
		if s.system.on {
			one(s.system.id)
		}
		err = scan(s.work, s.log, retentionPrefix, func(key string, _ []byte) error {
			id, bad := digest.Parse(key[len(retentionPrefix):])
			if bad != nil || s.isSystem(id) {
				return nil
			}
			return one(id)
		})
	}
	if err != nil {
		s.logger.Error("cannot look for what expires", "error", err)
	}
}

// retain has expire what is over what a space keeps.
func (s *Server) retain(ctx context.Context, id space.ID) error {
	r, _, err := s.retention(ctx, id)
	if err != nil || r == (Retention{}) {
		return err
	}
	if note, err := s.log.Key(ctx, expiringKey(id)); err != nil || note != nil {
		return err // what has expired is not freed yet
	}
	upto, err := s.over(ctx, id, r)
	if err != nil || upto == 0 {
		return err
	}
	event, err := space.NewIDSource(rand.Reader).New(s.wall())
	if err != nil {
		return err
	}
	v, err := s.recordIn(ctx, id, []space.Event{{ID: event, Type: module.TypeExpire, Payload: module.Expire(upto)}})
	if err == nil && v.Kind != wire.Accepted && v.Code != wire.CodeDeleted && v.Code != wire.CodeRecovering {
		err = fmt.Errorf("up to %d: %v: %s", upto, v.Code, v.Reason)
	}
	return err
}

// over returns the last record that is over what a space keeps, 0 if none is.
func (s *Server) over(ctx context.Context, id space.ID, r Retention) (upto uint64, err error) {
	gone, err := s.log.Expired(ctx, id)
	if err != nil {
		return 0, err
	}
	head, err := s.log.Head(ctx, id)
	if err != nil || head.Seq == gone {
		return 0, err
	}
	upto = gone
	if have := head.Seq - gone; r.Records > 0 && have > r.Records+max(r.Records/10, slackRecords) {
		upto = max(upto, head.Seq-r.Records)
	}
	if r.Bytes > 0 {
		have, err := s.log.Retained(ctx, id)
		if err == nil && have > r.Bytes+max(r.Bytes/10, slackBytes) {
			err = s.eachTransaction(ctx, id, gone, func(records []space.Record) bool {
				size := uint64(0)
				for i := range records {
					size += uint64(records[i].Size())
				}
				if have < r.Bytes+size {
					return false
				}
				have -= size
				upto = max(upto, records[len(records)-1].Seq)
				return true
			})
		}
		if err != nil {
			return 0, err
		}
	}
	if old := r.Age.Milliseconds(); old > 0 {
		aged, err := s.firstSince(ctx, id, gone, head.Seq, s.wall()-min(s.wall(), uint64(old)))
		if err != nil {
			return 0, err
		}
		upto = max(upto, aged-1)
	}
	return s.worth(ctx, id, gone, upto)
}

// firstSince returns the first record behind another that was received at a time or later; the one behind the head if there is none.
func (s *Server) firstSince(ctx context.Context, id space.ID, after, head, time uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(head-after), func(n int) bool {
		if failed != nil {
			return true
		}
		records, err := s.log.Read(ctx, id, after+uint64(n), 1, 1)
		if failed = err; err != nil || len(records) == 0 {
			return true
		}
		return records[0].ReceivedAt >= time
	})
	return after + uint64(n) + 1, failed
}

// worth returns the end of the last transaction at or before a record, or 0 if nothing would expire by that but what earlier expiries
// have written: else a space that nobody writes to would go on by itself.
func (s *Server) worth(ctx context.Context, id space.ID, gone, upto uint64) (uint64, error) {
	if upto <= gone {
		return 0, nil
	}
	records, err := s.log.Read(ctx, id, upto-1, 1, 1)
	if err != nil || len(records) == 0 {
		return 0, err
	}
	if r := &records[0]; !r.Last() {
		upto -= uint64(r.Index) + 1
	}
	worth := false
	err = s.eachTransaction(ctx, id, gone, func(records []space.Record) bool {
		own := records[0].Type == module.TypeExpire && records[0].Author == s.identity || records[0].Type == module.TypeCheckpoint
		worth = records[len(records)-1].Seq <= upto && !own
		return own && records[0].Seq < upto
	})
	if !worth {
		return 0, err
	}
	return upto, err
}

// eachTransaction calls f with the transactions behind a record, one after the other, until it returns false.
func (s *Server) eachTransaction(ctx context.Context, id space.ID, after uint64, f func([]space.Record) bool) error {
	for {
		records, err := s.log.Read(ctx, id, after, readRows, pageBatch)
		if err != nil || len(records) == 0 {
			return err
		}
		for first := 0; first < len(records); {
			n := first + int(records[first].Count)
			if !f(records[first:n]) {
				return nil
			}
			after, first = records[n-1].Seq, n
		}
	}
}

// recordIn writes events to a space, as the server, and waits for the verdict.
func (s *Server) recordIn(ctx context.Context, id space.ID, events []space.Event) (wire.Verdict, error) {
	answered := make(chan wire.Verdict, 1)
	r := hub.Record{Transaction: space.Transaction{Author: s.identity, API: wire.APIHigh, Events: events}}
	s.locked(id, func(h *hotSpace) {
		r.Ref = h.awaitLocked(func(v wire.Verdict) { answered <- v })
		h.postLocked(r)
	})
	select {
	case v := <-answered:
		return v, nil
	case <-ctx.Done():
		return wire.Verdict{}, ctx.Err()
	}
}

// retentionJSON is what a space keeps, as the API tells of it. What is 0 says nothing.
type retentionJSON struct {
	AgeMS   uint64 `json:"age_ms"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	Own     bool   `json:"own"`     // set for the space; else by the server's configuration
	Expired uint64 `json:"expired"` // the number up to which its records have expired
}

// serveRetention answers what a space keeps, to administrators.
func (s *Server) serveRetention(w http.ResponseWriter, r *http.Request) {
	s.retentionFor(w, r, func(context.Context, space.ID) error { return nil })
}

// retentionBody is how many bytes a request to set what a space keeps has at most.
const retentionBody = 4 << 10

// serveSetRetention sets what a space keeps.
func (s *Server) serveSetRetention(w http.ResponseWriter, r *http.Request) {
	var request struct {
		AgeMS   uint64 `json:"age_ms"`
		Records uint64 `json:"records"`
		Bytes   uint64 `json:"bytes"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, retentionBody))
	bad := json.Unmarshal(body, &request) != nil
	s.retentionFor(w, r, func(ctx context.Context, id space.ID) error {
		switch {
		case err != nil:
			return wire.Errorf(wire.CodeTooLarge, "at most %d bytes", retentionBody)
		case bad, request.AgeMS > uint64(maxAge.Milliseconds()):
			return wire.Errorf(wire.CodeBadArgument, `want {"age_ms": NUMBER, "records": NUMBER, "bytes": NUMBER}, with an age of at most %d`, maxAge.Milliseconds())
		}
		return SetRetention(ctx, s.log, id, &Retention{time.Duration(request.AgeMS) * time.Millisecond, request.Records, request.Bytes})
	})
}

// serveDropRetention has the server's configuration say what a space keeps.
func (s *Server) serveDropRetention(w http.ResponseWriter, r *http.Request) {
	s.retentionFor(w, r, func(ctx context.Context, id space.ID) error { return SetRetention(ctx, s.log, id, nil) })
}

// retentionFor has do change what a space keeps, if an administrator asks, who is whoever may read the system space. It answers with what
// is kept then, and looks for what expires by it.
func (s *Server) retentionFor(w http.ResponseWriter, r *http.Request, do func(context.Context, space.ID) error) {
	ctx := r.Context()
	who, err := s.callerOf(r)
	var id space.ID
	if err == nil {
		id, err = spaceOf(r)
	}
	switch {
	case err != nil:
	case len(who.identities) == 0:
		err = wire.Errorf(wire.CodeAuthRequired, "a bearer token says who asks")
	case !s.system.on:
		err = wire.Errorf(wire.CodeForbidden, "the server has no administrators")
	case s.mayRead(ctx, s.system.id, who.identities) != nil:
		err = wire.Errorf(wire.CodeForbidden, "administrators say what a space keeps")
	}
	if err == nil {
		err = do(ctx, id)
	}
	var kept Retention
	var own bool
	var gone uint64
	if err == nil {
		if gone, err = s.log.Expired(ctx, id); err == nil {
			kept, own, err = s.retention(ctx, id)
		}
	}
	switch {
	case errors.Is(err, ErrNoSpace):
		err = wire.Errorf(wire.CodeUnknownSpace, "the server has no such space")
	case errors.Is(err, ErrDeleted):
		err = wire.Errorf(wire.CodeDeleted, "the space was deleted")
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.spawn(func() {
			if err := s.retain(s.work, id); ignoreGone(err) != nil {
				s.logger.Error("cannot have records of a space expire, yet", "space", id, "error", err)
			}
		})
	}
	answerJSON(w, http.StatusOK, retentionJSON{uint64(kept.Age.Milliseconds()), kept.Records, kept.Bytes, own, gone})
}
