package wire

import (
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// begin appends the header of a frame's array: its number and the count of elements behind it.
func begin(b []byte, number Number, elements int) []byte {
	return msgpack.AppendUint(msgpack.AppendArray(b, elements+1), uint64(number))
}

// Number implements [Frame].
func (*Challenge) Number() Number { return NumberChallenge }

func (c *Challenge) appendTo(b []byte) []byte {
	b = begin(b, NumberChallenge, 5)
	b = msgpack.AppendBinary(b, c.Nonce[:])
	b = msgpack.AppendBinary(b, c.Server[:])
	b = msgpack.AppendString(b, c.APILow)
	b = msgpack.AppendString(b, c.APIHigh)
	return msgpack.AppendUint(b, c.Time)
}

func (c *Challenge) decode(f *msgpack.Fields) {
	if f.Next() {
		f.Reader.Fixed(c.Nonce[:])
	}
	if f.Next() {
		f.Reader.Fixed(c.Server[:])
	}
	if f.Next() {
		c.APILow = f.Reader.Text()
	}
	if f.Next() {
		c.APIHigh = f.Reader.Text()
	}
	if f.Next() {
		c.Time = f.Reader.Uint()
	}
}

// Number implements [Frame].
func (*Hello) Number() Number { return NumberHello }

func (h *Hello) appendTo(b []byte) []byte {
	b = begin(b, NumberHello, 7)
	b = msgpack.AppendString(b, h.API)
	b = msgpack.AppendString(b, h.ClientVersion)
	b = msgpack.AppendBinary(b, h.ConnectionID[:])
	b = msgpack.AppendBinary(b, h.Session[:])
	b = msgpack.AppendUint(b, h.Epoch)
	b = msgpack.AppendUint(b, h.Credit)
	b = msgpack.AppendArray(b, len(h.Proofs))
	for i := range h.Proofs {
		b = appendProof(b, &h.Proofs[i])
	}
	return b
}

func (h *Hello) decode(f *msgpack.Fields) {
	if f.Next() {
		h.API = f.Reader.Text()
	}
	if f.Next() {
		h.ClientVersion = f.Reader.Text()
	}
	if f.Next() {
		f.Reader.Fixed(h.ConnectionID[:])
	}
	if f.Next() {
		f.Reader.Fixed(h.Session[:])
	}
	if f.Next() {
		h.Epoch = f.Reader.Uint()
	}
	if f.Next() {
		h.Credit = f.Reader.Uint()
	}
	if f.Next() {
		n := f.Reader.ArrayOf(minProof)
		h.Proofs = make([]Proof, n)
		for i := range n {
			decodeProof(f.Reader, &h.Proofs[i])
		}
	}
}

func appendProof(b []byte, p *Proof) []byte {
	b = msgpack.AppendArray(b, 2)
	b = msgpack.AppendString(b, p.Identity)
	return msgpack.AppendBinary(b, p.Proof)
}

func decodeProof(r *msgpack.Reader, p *Proof) {
	f := r.Fields()
	if f.Next() {
		p.Identity = r.Text()
	}
	if f.Next() {
		p.Proof = r.Binary()
	}
	f.Finish()
}

// Number implements [Frame].
func (*Welcome) Number() Number { return NumberWelcome }

// each calls visit with every limit in the order of the wire.
func (l *Limits) each(visit func(*uint64)) {
	for _, limit := range []*uint64{
		&l.Type, &l.Identity, &l.ClientVersion, &l.API, &l.Params, &l.Payload, &l.TransactionEvents,
		&l.TransactionBytes, &l.Message, &l.Frame, &l.PushWindow, &l.SubscribePairs, &l.Subscriptions,
	} {
		visit(limit)
	}
}

func (w *Welcome) appendTo(b []byte) []byte {
	b = begin(b, NumberWelcome, 3)
	b = msgpack.AppendArray(b, len(w.Identities))
	for _, identity := range w.Identities {
		b = msgpack.AppendString(b, identity)
	}
	count := 0
	w.Limits.each(func(*uint64) { count++ })
	b = msgpack.AppendArray(b, count)
	w.Limits.each(func(limit *uint64) { b = msgpack.AppendUint(b, *limit) })
	return msgpack.AppendString(b, w.API)
}

func (w *Welcome) decode(f *msgpack.Fields) {
	if f.Next() {
		w.Identities = make([]string, f.Reader.Array())
		for i := range w.Identities {
			w.Identities[i] = f.Reader.Text()
		}
	}
	if f.Next() {
		g := f.Reader.Fields()
		w.Limits.each(func(limit *uint64) {
			if g.Next() {
				*limit = f.Reader.Uint()
			}
		})
		g.Finish()
	}
	if f.Next() {
		w.API = f.Reader.Text()
	}
}

// Number implements [Frame].
func (*Directory) Number() Number { return NumberDirectory }

func (d *Directory) appendTo(b []byte) []byte {
	b = begin(b, NumberDirectory, 2)
	b = msgpack.AppendUint(b, d.Ref)
	return msgpack.AppendBinary(b, d.Since)
}

func (d *Directory) decode(f *msgpack.Fields) {
	if f.Next() {
		d.Ref = f.Reader.Uint()
	}
	if f.Next() {
		d.Since = f.Reader.Binary()
	}
}

// Number implements [Frame].
func (*Spaces) Number() Number { return NumberSpaces }

func (s *Spaces) appendTo(b []byte) []byte {
	b = begin(b, NumberSpaces, 5)
	b = msgpack.AppendUint(b, s.Ref)
	b = msgpack.AppendArray(b, len(s.Rows))
	for i := range s.Rows {
		row := &s.Rows[i]
		elements := 7
		if row.Expired > 0 {
			elements = 8
		}
		b = msgpack.AppendArray(b, elements)
		b = AppendGenesis(b, &row.Genesis)
		b = msgpack.AppendBinary(b, row.GenesisSignature)
		b = msgpack.AppendBinary(b, row.Module[:])
		b = msgpack.AppendUint(b, row.Head)
		b = msgpack.AppendUint(b, row.CheckpointSeq)
		b = msgpack.AppendBinary(b, row.Checkpoint[:])
		b = msgpack.AppendUint(b, uint64(row.State))
		if row.Expired > 0 {
			b = msgpack.AppendUint(b, row.Expired)
		}
	}
	b = msgpack.AppendBinary(b, s.Since)
	b = msgpack.AppendBool(b, s.More)
	return msgpack.AppendBool(b, s.Full)
}

func (s *Spaces) decode(f *msgpack.Fields) {
	r := f.Reader
	if f.Next() {
		s.Ref = r.Uint()
	}
	if f.Next() {
		s.Rows = make([]SpaceRow, r.ArrayOf(minRow))
		for i := range s.Rows {
			decodeRow(r, &s.Rows[i])
		}
	}
	if f.Next() {
		s.Since = r.Binary()
	}
	if f.Next() {
		s.More = r.Bool()
	}
	if f.Next() {
		s.Full = r.Bool()
	}
}

func decodeRow(r *msgpack.Reader, row *SpaceRow) {
	f := r.Fields()
	if f.Next() {
		decodeGenesis(r, &row.Genesis)
	}
	if f.Next() {
		row.GenesisSignature = r.Binary()
	}
	if f.Next() {
		r.Fixed(row.Module[:])
	}
	if f.Next() {
		row.Head = r.Uint()
	}
	if f.Next() {
		row.CheckpointSeq = r.Uint()
	}
	if f.Next() {
		r.Fixed(row.Checkpoint[:])
	}
	if f.Next() {
		row.State = SpaceState(r.Uint())
	}
	if f.Next() {
		row.Expired = r.Uint()
	}
	f.Finish()
}

// Number implements [Frame].
func (*Push) Number() Number { return NumberPush }

func (p *Push) appendTo(b []byte) []byte {
	b = begin(b, NumberPush, 6)
	b = msgpack.AppendBinary(b, p.Space[:])
	b = msgpack.AppendUint(b, p.N)
	b = msgpack.AppendBool(b, p.Resume)
	if p.Genesis == nil {
		b = msgpack.AppendNil(b)
	} else {
		b = AppendGenesis(b, p.Genesis)
	}
	b = msgpack.AppendBinary(b, p.GenesisSignature)
	b = msgpack.AppendArray(b, len(p.Transactions))
	for i := range p.Transactions {
		b = AppendTransaction(b, &p.Transactions[i])
	}
	return b
}

func (p *Push) decode(f *msgpack.Fields) {
	r := f.Reader
	if f.Next() {
		r.Fixed(p.Space[:])
	}
	if f.Next() {
		p.N = r.Uint()
	}
	if f.Next() {
		p.Resume = r.Bool()
	}
	if f.Next() && !r.IsNil() {
		p.Genesis = new(space.Genesis)
		decodeGenesis(r, p.Genesis)
	}
	if f.Next() {
		p.GenesisSignature = r.Binary()
	}
	if f.Next() {
		p.Transactions = make([]space.Transaction, r.ArrayOf(minTransaction))
		var texts interner
		for i := range p.Transactions {
			decodeTransaction(r, &p.Transactions[i], &texts)
		}
	}
}

// Number implements [Frame].
func (*Pushed) Number() Number { return NumberPushed }

func (p *Pushed) appendTo(b []byte) []byte {
	b = begin(b, NumberPushed, 4)
	b = msgpack.AppendBinary(b, p.Space[:])
	b = msgpack.AppendUint(b, p.N)
	if p.Genesis == nil {
		b = msgpack.AppendNil(b)
	} else {
		b = appendVerdict(b, p.Genesis)
	}
	b = msgpack.AppendArray(b, len(p.Verdicts))
	for i := range p.Verdicts {
		b = appendVerdict(b, &p.Verdicts[i])
	}
	return b
}

func (p *Pushed) decode(f *msgpack.Fields) {
	r := f.Reader
	if f.Next() {
		r.Fixed(p.Space[:])
	}
	if f.Next() {
		p.N = r.Uint()
	}
	if f.Next() && !r.IsNil() {
		p.Genesis = new(Verdict)
		decodeVerdict(r, p.Genesis)
	}
	if f.Next() {
		p.Verdicts = make([]Verdict, r.ArrayOf(minVerdict))
		for i := range p.Verdicts {
			decodeVerdict(r, &p.Verdicts[i])
		}
	}
}

func appendVerdict(b []byte, v *Verdict) []byte {
	b = msgpack.AppendArray(b, 5)
	b = msgpack.AppendUint(b, uint64(v.Kind))
	if v.Kind == Accepted || v.Kind == Duplicate {
		b = appendPosition(b, &v.Position)
	} else {
		b = msgpack.AppendNil(b)
	}
	b = msgpack.AppendUint(b, uint64(v.Code))
	b = msgpack.AppendString(b, v.Reason)
	return msgpack.AppendUint(b, v.RetryAfterMS)
}

func decodeVerdict(r *msgpack.Reader, v *Verdict) {
	f := r.Fields()
	if f.Next() {
		v.Kind = VerdictKind(r.Uint())
	}
	if f.Next() && !r.IsNil() {
		decodePosition(r, &v.Position)
	}
	if f.Next() {
		v.Code = Code(r.Uint())
	}
	if f.Next() {
		v.Reason = r.Text()
	}
	if f.Next() {
		v.RetryAfterMS = r.Uint()
	}
	f.Finish()
}

// Number implements [Frame].
func (*Subscribe) Number() Number { return NumberSubscribe }

func (s *Subscribe) appendTo(b []byte) []byte {
	b = begin(b, NumberSubscribe, 1)
	b = msgpack.AppendArray(b, len(s.Subscriptions))
	for i := range s.Subscriptions {
		b = msgpack.AppendArray(b, 2)
		b = msgpack.AppendBinary(b, s.Subscriptions[i].Space[:])
		b = appendPosition(b, &s.Subscriptions[i].Position)
	}
	return b
}

func (s *Subscribe) decode(f *msgpack.Fields) {
	if !f.Next() {
		return
	}
	r := f.Reader
	s.Subscriptions = make([]Subscription, r.ArrayOf(minDigest))
	for i := range s.Subscriptions {
		g := r.Fields()
		if g.Next() {
			r.Fixed(s.Subscriptions[i].Space[:])
		}
		if g.Next() {
			decodePosition(r, &s.Subscriptions[i].Position)
		}
		g.Finish()
	}
}

// Number implements [Frame].
func (*Unsubscribe) Number() Number { return NumberUnsubscribe }

func (u *Unsubscribe) appendTo(b []byte) []byte {
	b = begin(b, NumberUnsubscribe, 1)
	b = msgpack.AppendArray(b, len(u.Spaces))
	for i := range u.Spaces {
		b = msgpack.AppendBinary(b, u.Spaces[i][:])
	}
	return b
}

func (u *Unsubscribe) decode(f *msgpack.Fields) {
	if !f.Next() {
		return
	}
	u.Spaces = make([]space.ID, f.Reader.ArrayOf(minDigest))
	for i := range u.Spaces {
		f.Reader.Fixed(u.Spaces[i][:])
	}
}

// Number implements [Frame].
func (*Events) Number() Number { return NumberEvents }

func (e *Events) appendTo(b []byte) []byte {
	b = appendEventsHeader(b, e.Space, len(e.Records))
	for i := range e.Records {
		b = AppendRecord(b, &e.Records[i])
	}
	return appendPosition(b, &e.Position)
}

func appendEventsHeader(b []byte, id space.ID, records int) []byte {
	b = begin(b, NumberEvents, 3)
	b = msgpack.AppendBinary(b, id[:])
	return msgpack.AppendArray(b, records)
}

// AppendEvents appends an [Events] message whose records are encoded already, one [AppendRecord] after the other:
// a server encodes a record once for all of its readers.
func AppendEvents(b []byte, id space.ID, count int, records []byte, position space.Position) []byte {
	b = appendEventsHeader(b, id, count)
	b = append(b, records...)
	return appendPosition(b, &position)
}

func (e *Events) decode(f *msgpack.Fields) {
	if f.Next() {
		f.Reader.Fixed(e.Space[:])
	}
	if f.Next() {
		e.Records = decodeRecordArray(f.Reader)
	}
	if f.Next() {
		decodePosition(f.Reader, &e.Position)
	}
}

func decodeRecordArray(r *msgpack.Reader) []space.Record {
	records := make([]space.Record, r.ArrayOf(minRecord))
	var texts interner
	for i := range records {
		decodeRecord(r, &records[i], &texts)
	}
	return records
}

// Number implements [Frame].
func (*CaughtUp) Number() Number { return NumberCaughtUp }

func (c *CaughtUp) appendTo(b []byte) []byte {
	b = begin(b, NumberCaughtUp, 2)
	b = msgpack.AppendBinary(b, c.Space[:])
	return appendPosition(b, &c.Position)
}

func (c *CaughtUp) decode(f *msgpack.Fields) {
	if f.Next() {
		f.Reader.Fixed(c.Space[:])
	}
	if f.Next() {
		decodePosition(f.Reader, &c.Position)
	}
}

// Number implements [Frame].
func (*Ended) Number() Number { return NumberEnded }

func (e *Ended) appendTo(b []byte) []byte {
	b = begin(b, NumberEnded, 3)
	b = msgpack.AppendBinary(b, e.Space[:])
	b = msgpack.AppendUint(b, uint64(e.Code))
	return msgpack.AppendString(b, e.Reason)
}

func (e *Ended) decode(f *msgpack.Fields) {
	if f.Next() {
		f.Reader.Fixed(e.Space[:])
	}
	if f.Next() {
		e.Code = Code(f.Reader.Uint())
	}
	if f.Next() {
		e.Reason = f.Reader.Text()
	}
}

// Number implements [Frame].
func (*Fetch) Number() Number { return NumberFetch }

func (e *Fetch) appendTo(b []byte) []byte {
	b = begin(b, NumberFetch, 6)
	b = msgpack.AppendUint(b, e.Ref)
	b = msgpack.AppendBinary(b, e.Space[:])
	b = msgpack.AppendUint(b, e.After)
	b = msgpack.AppendUint(b, e.Before)
	b = msgpack.AppendUint(b, e.MaxRecords)
	return msgpack.AppendUint(b, e.MaxBytes)
}

func (e *Fetch) decode(f *msgpack.Fields) {
	if f.Next() {
		e.Ref = f.Reader.Uint()
	}
	if f.Next() {
		f.Reader.Fixed(e.Space[:])
	}
	for _, n := range []*uint64{&e.After, &e.Before, &e.MaxRecords, &e.MaxBytes} {
		if f.Next() {
			*n = f.Reader.Uint()
		}
	}
}

// Number implements [Frame].
func (*Page) Number() Number { return NumberPage }

func (p *Page) appendTo(b []byte) []byte {
	b = begin(b, NumberPage, 5)
	b = msgpack.AppendUint(b, p.Ref)
	b = msgpack.AppendBinary(b, p.Space[:])
	b = msgpack.AppendBinary(b, p.ChainBefore[:])
	b = msgpack.AppendArray(b, len(p.Records))
	for i := range p.Records {
		b = AppendRecord(b, &p.Records[i])
	}
	return appendPosition(b, &p.Position)
}

func (p *Page) decode(f *msgpack.Fields) {
	if f.Next() {
		p.Ref = f.Reader.Uint()
	}
	if f.Next() {
		f.Reader.Fixed(p.Space[:])
	}
	if f.Next() {
		f.Reader.Fixed(p.ChainBefore[:])
	}
	if f.Next() {
		p.Records = decodeRecordArray(f.Reader)
	}
	if f.Next() {
		decodePosition(f.Reader, &p.Position)
	}
}

// Number implements [Frame].
func (*Blob) Number() Number { return NumberBlob }

func (e *Blob) appendTo(b []byte) []byte {
	b = begin(b, NumberBlob, 3)
	b = msgpack.AppendUint(b, e.Ref)
	b = msgpack.AppendBinary(b, e.Digest[:])
	return msgpack.AppendUint(b, e.Offset)
}

func (e *Blob) decode(f *msgpack.Fields) {
	if f.Next() {
		e.Ref = f.Reader.Uint()
	}
	if f.Next() {
		f.Reader.Fixed(e.Digest[:])
	}
	if f.Next() {
		e.Offset = f.Reader.Uint()
	}
}

// Number implements [Frame].
func (*BlobPart) Number() Number { return NumberBlobPart }

func (p *BlobPart) appendTo(b []byte) []byte {
	b = begin(b, NumberBlobPart, 4)
	b = msgpack.AppendUint(b, p.Ref)
	b = msgpack.AppendUint(b, p.Total)
	b = msgpack.AppendUint(b, p.Offset)
	return msgpack.AppendBinary(b, p.Bytes)
}

func (p *BlobPart) decode(f *msgpack.Fields) {
	if f.Next() {
		p.Ref = f.Reader.Uint()
	}
	if f.Next() {
		p.Total = f.Reader.Uint()
	}
	if f.Next() {
		p.Offset = f.Reader.Uint()
	}
	if f.Next() {
		p.Bytes = f.Reader.Binary()
	}
}

// Number implements [Frame].
func (*BlobPut) Number() Number { return NumberBlobPut }

func (p *BlobPut) appendTo(b []byte) []byte {
	b = begin(b, NumberBlobPut, 5)
	b = msgpack.AppendUint(b, p.Ref)
	b = msgpack.AppendBinary(b, p.Digest[:])
	b = msgpack.AppendUint(b, p.Total)
	b = msgpack.AppendUint(b, p.Offset)
	return msgpack.AppendBinary(b, p.Bytes)
}

func (p *BlobPut) decode(f *msgpack.Fields) {
	if f.Next() {
		p.Ref = f.Reader.Uint()
	}
	if f.Next() {
		f.Reader.Fixed(p.Digest[:])
	}
	if f.Next() {
		p.Total = f.Reader.Uint()
	}
	if f.Next() {
		p.Offset = f.Reader.Uint()
	}
	if f.Next() {
		p.Bytes = f.Reader.Binary()
	}
}

// Number implements [Frame].
func (*Credit) Number() Number { return NumberCredit }

func (c *Credit) appendTo(b []byte) []byte {
	return msgpack.AppendUint(begin(b, NumberCredit, 1), c.Bytes)
}

func (c *Credit) decode(f *msgpack.Fields) {
	if f.Next() {
		c.Bytes = f.Reader.Uint()
	}
}

// Number implements [Frame].
func (*Ping) Number() Number { return NumberPing }

func (*Ping) appendTo(b []byte) []byte { return begin(b, NumberPing, 0) }

func (*Ping) decode(*msgpack.Fields) {}

// Number implements [Frame].
func (*Pong) Number() Number { return NumberPong }

func (*Pong) appendTo(b []byte) []byte { return begin(b, NumberPong, 0) }

func (*Pong) decode(*msgpack.Fields) {}

// Number implements [Frame].
func (*AuthRefresh) Number() Number { return NumberAuthRefresh }

func (a *AuthRefresh) appendTo(b []byte) []byte {
	b = begin(b, NumberAuthRefresh, 2)
	b = msgpack.AppendUint(b, a.Ref)
	return appendProof(b, &a.Proof)
}

func (a *AuthRefresh) decode(f *msgpack.Fields) {
	if f.Next() {
		a.Ref = f.Reader.Uint()
	}
	if f.Next() {
		decodeProof(f.Reader, &a.Proof)
	}
}

// Number implements [Frame].
func (*Ephemeral) Number() Number { return NumberEphemeral }

func (e *Ephemeral) appendTo(b []byte) []byte {
	b = begin(b, NumberEphemeral, 2)
	b = msgpack.AppendBinary(b, e.Space[:])
	return msgpack.AppendBinary(b, e.Bytes)
}

func (e *Ephemeral) decode(f *msgpack.Fields) {
	if f.Next() {
		f.Reader.Fixed(e.Space[:])
	}
	if f.Next() {
		e.Bytes = f.Reader.Binary()
	}
}

// Number implements [Frame].
func (*Refused) Number() Number { return NumberRefused }

func (e *Refused) appendTo(b []byte) []byte {
	b = begin(b, NumberRefused, 3)
	b = msgpack.AppendUint(b, e.Ref)
	b = msgpack.AppendUint(b, uint64(e.Code))
	return msgpack.AppendString(b, e.Reason)
}

func (e *Refused) decode(f *msgpack.Fields) {
	if f.Next() {
		e.Ref = f.Reader.Uint()
	}
	if f.Next() {
		e.Code = Code(f.Reader.Uint())
	}
	if f.Next() {
		e.Reason = f.Reader.Text()
	}
}

// Number implements [Frame].
func (*Error) Number() Number { return NumberError }

func (e *Error) appendTo(b []byte) []byte {
	b = begin(b, NumberError, 2)
	b = msgpack.AppendUint(b, uint64(e.Code))
	return msgpack.AppendString(b, e.Reason)
}

func (e *Error) decode(f *msgpack.Fields) {
	if f.Next() {
		e.Code = Code(f.Reader.Uint())
	}
	if f.Next() {
		e.Reason = f.Reader.Text()
	}
}

// Number implements [Frame].
func (*Bye) Number() Number { return NumberBye }

func (e *Bye) appendTo(b []byte) []byte {
	b = begin(b, NumberBye, 2)
	b = msgpack.AppendUint(b, uint64(e.Code))
	return msgpack.AppendUint(b, e.RetryAfterMS)
}

func (e *Bye) decode(f *msgpack.Fields) {
	if f.Next() {
		e.Code = Code(f.Reader.Uint())
	}
	if f.Next() {
		e.RetryAfterMS = f.Reader.Uint()
	}
}

// Number implements [Frame].
func (*Part) Number() Number { return NumberPart }

func (p *Part) appendTo(b []byte) []byte {
	b = begin(b, NumberPart, 2)
	b = msgpack.AppendUint(b, p.Total)
	return msgpack.AppendBinary(b, p.Bytes)
}

func (p *Part) decode(f *msgpack.Fields) {
	if f.Next() {
		p.Total = f.Reader.Uint()
	}
	if f.Next() {
		p.Bytes = f.Reader.Binary()
	}
}
