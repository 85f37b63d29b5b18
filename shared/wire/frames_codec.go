package wire

import "skerry/shared/space"

// begin appends the header of a frame's array: its number and the count of elements behind it.
func begin(b []byte, number Number, elements int) []byte {
	return appendUint(appendArray(b, elements+1), uint64(number))
}

// Number implements [Frame].
func (*Challenge) Number() Number { return NumberChallenge }

func (c *Challenge) appendTo(b []byte) []byte {
	b = begin(b, NumberChallenge, 5)
	b = appendBinary(b, c.Nonce[:])
	b = appendBinary(b, c.Server[:])
	b = appendString(b, c.APILow)
	b = appendString(b, c.APIHigh)
	return appendUint(b, c.Time)
}

func (c *Challenge) decode(f *fields) {
	if f.next() {
		f.r.fixed(c.Nonce[:])
	}
	if f.next() {
		f.r.fixed(c.Server[:])
	}
	if f.next() {
		c.APILow = f.r.string()
	}
	if f.next() {
		c.APIHigh = f.r.string()
	}
	if f.next() {
		c.Time = f.r.uint()
	}
}

// Number implements [Frame].
func (*Hello) Number() Number { return NumberHello }

func (h *Hello) appendTo(b []byte) []byte {
	b = begin(b, NumberHello, 7)
	b = appendString(b, h.API)
	b = appendString(b, h.ClientVersion)
	b = appendBinary(b, h.ConnectionID[:])
	b = appendBinary(b, h.Session[:])
	b = appendUint(b, h.Epoch)
	b = appendUint(b, h.Credit)
	b = appendArray(b, len(h.Proofs))
	for i := range h.Proofs {
		b = appendProof(b, &h.Proofs[i])
	}
	return b
}

func (h *Hello) decode(f *fields) {
	if f.next() {
		h.API = f.r.string()
	}
	if f.next() {
		h.ClientVersion = f.r.string()
	}
	if f.next() {
		f.r.fixed(h.ConnectionID[:])
	}
	if f.next() {
		f.r.fixed(h.Session[:])
	}
	if f.next() {
		h.Epoch = f.r.uint()
	}
	if f.next() {
		h.Credit = f.r.uint()
	}
	if f.next() {
		n := f.r.arrayOf(minProof)
		h.Proofs = make([]Proof, n)
		for i := range n {
			decodeProof(f.r, &h.Proofs[i])
		}
	}
}

func appendProof(b []byte, p *Proof) []byte {
	b = appendArray(b, 2)
	b = appendString(b, p.Identity)
	return appendBinary(b, p.Proof)
}

func decodeProof(r *reader, p *Proof) {
	f := r.fields()
	if f.next() {
		p.Identity = r.string()
	}
	if f.next() {
		p.Proof = r.binary()
	}
	f.finish()
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
	b = appendArray(b, len(w.Identities))
	for _, identity := range w.Identities {
		b = appendString(b, identity)
	}
	count := 0
	w.Limits.each(func(*uint64) { count++ })
	b = appendArray(b, count)
	w.Limits.each(func(limit *uint64) { b = appendUint(b, *limit) })
	return appendString(b, w.API)
}

func (w *Welcome) decode(f *fields) {
	if f.next() {
		w.Identities = make([]string, f.r.array())
		for i := range w.Identities {
			w.Identities[i] = f.r.string()
		}
	}
	if f.next() {
		g := f.r.fields()
		w.Limits.each(func(limit *uint64) {
			if g.next() {
				*limit = f.r.uint()
			}
		})
		g.finish()
	}
	if f.next() {
		w.API = f.r.string()
	}
}

// Number implements [Frame].
func (*Directory) Number() Number { return NumberDirectory }

func (d *Directory) appendTo(b []byte) []byte {
	b = begin(b, NumberDirectory, 2)
	b = appendUint(b, d.Ref)
	return appendBinary(b, d.Since)
}

func (d *Directory) decode(f *fields) {
	if f.next() {
		d.Ref = f.r.uint()
	}
	if f.next() {
		d.Since = f.r.binary()
	}
}

// Number implements [Frame].
func (*Spaces) Number() Number { return NumberSpaces }

func (s *Spaces) appendTo(b []byte) []byte {
	b = begin(b, NumberSpaces, 5)
	b = appendUint(b, s.Ref)
	b = appendArray(b, len(s.Rows))
	for i := range s.Rows {
		row := &s.Rows[i]
		b = appendArray(b, 7)
		b = AppendGenesis(b, &row.Genesis)
		b = appendBinary(b, row.GenesisSignature)
		b = appendBinary(b, row.Module[:])
		b = appendUint(b, row.Head)
		b = appendUint(b, row.CheckpointSeq)
		b = appendBinary(b, row.Checkpoint[:])
		b = appendUint(b, uint64(row.State))
	}
	b = appendBinary(b, s.Since)
	b = appendBool(b, s.More)
	return appendBool(b, s.Full)
}

func (s *Spaces) decode(f *fields) {
	r := f.r
	if f.next() {
		s.Ref = r.uint()
	}
	if f.next() {
		s.Rows = make([]SpaceRow, r.arrayOf(minRow))
		for i := range s.Rows {
			decodeRow(r, &s.Rows[i])
		}
	}
	if f.next() {
		s.Since = r.binary()
	}
	if f.next() {
		s.More = r.bool()
	}
	if f.next() {
		s.Full = r.bool()
	}
}

func decodeRow(r *reader, row *SpaceRow) {
	f := r.fields()
	if f.next() {
		decodeGenesis(r, &row.Genesis)
	}
	if f.next() {
		row.GenesisSignature = r.binary()
	}
	if f.next() {
		r.fixed(row.Module[:])
	}
	if f.next() {
		row.Head = r.uint()
	}
	if f.next() {
		row.CheckpointSeq = r.uint()
	}
	if f.next() {
		r.fixed(row.Checkpoint[:])
	}
	if f.next() {
		row.State = SpaceState(r.uint())
	}
	f.finish()
}

// Number implements [Frame].
func (*Push) Number() Number { return NumberPush }

func (p *Push) appendTo(b []byte) []byte {
	b = begin(b, NumberPush, 6)
	b = appendBinary(b, p.Space[:])
	b = appendUint(b, p.N)
	b = appendBool(b, p.Resume)
	if p.Genesis == nil {
		b = appendNil(b)
	} else {
		b = AppendGenesis(b, p.Genesis)
	}
	b = appendBinary(b, p.GenesisSignature)
	b = appendArray(b, len(p.Transactions))
	for i := range p.Transactions {
		b = AppendTransaction(b, &p.Transactions[i])
	}
	return b
}

func (p *Push) decode(f *fields) {
	r := f.r
	if f.next() {
		r.fixed(p.Space[:])
	}
	if f.next() {
		p.N = r.uint()
	}
	if f.next() {
		p.Resume = r.bool()
	}
	if f.next() && !r.isNil() {
		p.Genesis = new(space.Genesis)
		decodeGenesis(r, p.Genesis)
	}
	if f.next() {
		p.GenesisSignature = r.binary()
	}
	if f.next() {
		p.Transactions = make([]space.Transaction, r.arrayOf(minTransaction))
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
	b = appendBinary(b, p.Space[:])
	b = appendUint(b, p.N)
	if p.Genesis == nil {
		b = appendNil(b)
	} else {
		b = appendVerdict(b, p.Genesis)
	}
	b = appendArray(b, len(p.Verdicts))
	for i := range p.Verdicts {
		b = appendVerdict(b, &p.Verdicts[i])
	}
	return b
}

func (p *Pushed) decode(f *fields) {
	r := f.r
	if f.next() {
		r.fixed(p.Space[:])
	}
	if f.next() {
		p.N = r.uint()
	}
	if f.next() && !r.isNil() {
		p.Genesis = new(Verdict)
		decodeVerdict(r, p.Genesis)
	}
	if f.next() {
		p.Verdicts = make([]Verdict, r.arrayOf(minVerdict))
		for i := range p.Verdicts {
			decodeVerdict(r, &p.Verdicts[i])
		}
	}
}

func appendVerdict(b []byte, v *Verdict) []byte {
	b = appendArray(b, 5)
	b = appendUint(b, uint64(v.Kind))
	if v.Kind == Accepted || v.Kind == Duplicate {
		b = appendPosition(b, &v.Position)
	} else {
		b = appendNil(b)
	}
	b = appendUint(b, uint64(v.Code))
	b = appendString(b, v.Reason)
	return appendUint(b, v.RetryAfterMS)
}

func decodeVerdict(r *reader, v *Verdict) {
	f := r.fields()
	if f.next() {
		v.Kind = VerdictKind(r.uint())
	}
	if f.next() && !r.isNil() {
		decodePosition(r, &v.Position)
	}
	if f.next() {
		v.Code = Code(r.uint())
	}
	if f.next() {
		v.Reason = r.string()
	}
	if f.next() {
		v.RetryAfterMS = r.uint()
	}
	f.finish()
}

// Number implements [Frame].
func (*Subscribe) Number() Number { return NumberSubscribe }

func (s *Subscribe) appendTo(b []byte) []byte {
	b = begin(b, NumberSubscribe, 1)
	b = appendArray(b, len(s.Subscriptions))
	for i := range s.Subscriptions {
		b = appendArray(b, 2)
		b = appendBinary(b, s.Subscriptions[i].Space[:])
		b = appendPosition(b, &s.Subscriptions[i].Position)
	}
	return b
}

func (s *Subscribe) decode(f *fields) {
	if !f.next() {
		return
	}
	r := f.r
	s.Subscriptions = make([]Subscription, r.arrayOf(minDigest))
	for i := range s.Subscriptions {
		g := r.fields()
		if g.next() {
			r.fixed(s.Subscriptions[i].Space[:])
		}
		if g.next() {
			decodePosition(r, &s.Subscriptions[i].Position)
		}
		g.finish()
	}
}

// Number implements [Frame].
func (*Unsubscribe) Number() Number { return NumberUnsubscribe }

func (u *Unsubscribe) appendTo(b []byte) []byte {
	b = begin(b, NumberUnsubscribe, 1)
	b = appendArray(b, len(u.Spaces))
	for i := range u.Spaces {
		b = appendBinary(b, u.Spaces[i][:])
	}
	return b
}

func (u *Unsubscribe) decode(f *fields) {
	if !f.next() {
		return
	}
	u.Spaces = make([]space.ID, f.r.arrayOf(minDigest))
	for i := range u.Spaces {
		f.r.fixed(u.Spaces[i][:])
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
	b = appendBinary(b, id[:])
	return appendArray(b, records)
}

// AppendEvents appends an [Events] message whose records are encoded already, one [AppendRecord] after the other:
// a server encodes a record once for all of its readers.
func AppendEvents(b []byte, id space.ID, count int, records []byte, position space.Position) []byte {
	b = appendEventsHeader(b, id, count)
	b = append(b, records...)
	return appendPosition(b, &position)
}

func (e *Events) decode(f *fields) {
	if f.next() {
		f.r.fixed(e.Space[:])
	}
	if f.next() {
		e.Records = decodeRecordArray(f.r)
	}
	if f.next() {
		decodePosition(f.r, &e.Position)
	}
}

func decodeRecordArray(r *reader) []space.Record {
	records := make([]space.Record, r.arrayOf(minRecord))
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
	b = appendBinary(b, c.Space[:])
	return appendPosition(b, &c.Position)
}

func (c *CaughtUp) decode(f *fields) {
	if f.next() {
		f.r.fixed(c.Space[:])
	}
	if f.next() {
		decodePosition(f.r, &c.Position)
	}
}

// Number implements [Frame].
func (*Ended) Number() Number { return NumberEnded }

func (e *Ended) appendTo(b []byte) []byte {
	b = begin(b, NumberEnded, 3)
	b = appendBinary(b, e.Space[:])
	b = appendUint(b, uint64(e.Code))
	return appendString(b, e.Reason)
}

func (e *Ended) decode(f *fields) {
	if f.next() {
		f.r.fixed(e.Space[:])
	}
	if f.next() {
		e.Code = Code(f.r.uint())
	}
	if f.next() {
		e.Reason = f.r.string()
	}
}

// Number implements [Frame].
func (*Fetch) Number() Number { return NumberFetch }

func (e *Fetch) appendTo(b []byte) []byte {
	b = begin(b, NumberFetch, 6)
	b = appendUint(b, e.Ref)
	b = appendBinary(b, e.Space[:])
	b = appendUint(b, e.After)
	b = appendUint(b, e.Before)
	b = appendUint(b, e.MaxRecords)
	return appendUint(b, e.MaxBytes)
}

func (e *Fetch) decode(f *fields) {
	if f.next() {
		e.Ref = f.r.uint()
	}
	if f.next() {
		f.r.fixed(e.Space[:])
	}
	for _, n := range []*uint64{&e.After, &e.Before, &e.MaxRecords, &e.MaxBytes} {
		if f.next() {
			*n = f.r.uint()
		}
	}
}

// Number implements [Frame].
func (*Page) Number() Number { return NumberPage }

func (p *Page) appendTo(b []byte) []byte {
	b = begin(b, NumberPage, 5)
	b = appendUint(b, p.Ref)
	b = appendBinary(b, p.Space[:])
	b = appendBinary(b, p.ChainBefore[:])
	b = appendArray(b, len(p.Records))
	for i := range p.Records {
		b = AppendRecord(b, &p.Records[i])
	}
	return appendPosition(b, &p.Position)
}

func (p *Page) decode(f *fields) {
	if f.next() {
		p.Ref = f.r.uint()
	}
	if f.next() {
		f.r.fixed(p.Space[:])
	}
	if f.next() {
		f.r.fixed(p.ChainBefore[:])
	}
	if f.next() {
		p.Records = decodeRecordArray(f.r)
	}
	if f.next() {
		decodePosition(f.r, &p.Position)
	}
}

// Number implements [Frame].
func (*Blob) Number() Number { return NumberBlob }

func (e *Blob) appendTo(b []byte) []byte {
	b = begin(b, NumberBlob, 3)
	b = appendUint(b, e.Ref)
	b = appendBinary(b, e.Digest[:])
	return appendUint(b, e.Offset)
}

func (e *Blob) decode(f *fields) {
	if f.next() {
		e.Ref = f.r.uint()
	}
	if f.next() {
		f.r.fixed(e.Digest[:])
	}
	if f.next() {
		e.Offset = f.r.uint()
	}
}

// Number implements [Frame].
func (*BlobPart) Number() Number { return NumberBlobPart }

func (p *BlobPart) appendTo(b []byte) []byte {
	b = begin(b, NumberBlobPart, 4)
	b = appendUint(b, p.Ref)
	b = appendUint(b, p.Total)
	b = appendUint(b, p.Offset)
	return appendBinary(b, p.Bytes)
}

func (p *BlobPart) decode(f *fields) {
	if f.next() {
		p.Ref = f.r.uint()
	}
	if f.next() {
		p.Total = f.r.uint()
	}
	if f.next() {
		p.Offset = f.r.uint()
	}
	if f.next() {
		p.Bytes = f.r.binary()
	}
}

// Number implements [Frame].
func (*BlobPut) Number() Number { return NumberBlobPut }

func (p *BlobPut) appendTo(b []byte) []byte {
	b = begin(b, NumberBlobPut, 5)
	b = appendUint(b, p.Ref)
	b = appendBinary(b, p.Digest[:])
	b = appendUint(b, p.Total)
	b = appendUint(b, p.Offset)
	return appendBinary(b, p.Bytes)
}

func (p *BlobPut) decode(f *fields) {
	if f.next() {
		p.Ref = f.r.uint()
	}
	if f.next() {
		f.r.fixed(p.Digest[:])
	}
	if f.next() {
		p.Total = f.r.uint()
	}
	if f.next() {
		p.Offset = f.r.uint()
	}
	if f.next() {
		p.Bytes = f.r.binary()
	}
}

// Number implements [Frame].
func (*Credit) Number() Number { return NumberCredit }

func (c *Credit) appendTo(b []byte) []byte {
	return appendUint(begin(b, NumberCredit, 1), c.Bytes)
}

func (c *Credit) decode(f *fields) {
	if f.next() {
		c.Bytes = f.r.uint()
	}
}

// Number implements [Frame].
func (*Ping) Number() Number { return NumberPing }

func (*Ping) appendTo(b []byte) []byte { return begin(b, NumberPing, 0) }

func (*Ping) decode(*fields) {}

// Number implements [Frame].
func (*Pong) Number() Number { return NumberPong }

func (*Pong) appendTo(b []byte) []byte { return begin(b, NumberPong, 0) }

func (*Pong) decode(*fields) {}

// Number implements [Frame].
func (*AuthRefresh) Number() Number { return NumberAuthRefresh }

func (a *AuthRefresh) appendTo(b []byte) []byte {
	b = begin(b, NumberAuthRefresh, 2)
	b = appendUint(b, a.Ref)
	return appendProof(b, &a.Proof)
}

func (a *AuthRefresh) decode(f *fields) {
	if f.next() {
		a.Ref = f.r.uint()
	}
	if f.next() {
		decodeProof(f.r, &a.Proof)
	}
}

// Number implements [Frame].
func (*Ephemeral) Number() Number { return NumberEphemeral }

func (e *Ephemeral) appendTo(b []byte) []byte {
	b = begin(b, NumberEphemeral, 2)
	b = appendBinary(b, e.Space[:])
	return appendBinary(b, e.Bytes)
}

func (e *Ephemeral) decode(f *fields) {
	if f.next() {
		f.r.fixed(e.Space[:])
	}
	if f.next() {
		e.Bytes = f.r.binary()
	}
}

// Number implements [Frame].
func (*Refused) Number() Number { return NumberRefused }

func (e *Refused) appendTo(b []byte) []byte {
	b = begin(b, NumberRefused, 3)
	b = appendUint(b, e.Ref)
	b = appendUint(b, uint64(e.Code))
	return appendString(b, e.Reason)
}

func (e *Refused) decode(f *fields) {
	if f.next() {
		e.Ref = f.r.uint()
	}
	if f.next() {
		e.Code = Code(f.r.uint())
	}
	if f.next() {
		e.Reason = f.r.string()
	}
}

// Number implements [Frame].
func (*Error) Number() Number { return NumberError }

func (e *Error) appendTo(b []byte) []byte {
	b = begin(b, NumberError, 2)
	b = appendUint(b, uint64(e.Code))
	return appendString(b, e.Reason)
}

func (e *Error) decode(f *fields) {
	if f.next() {
		e.Code = Code(f.r.uint())
	}
	if f.next() {
		e.Reason = f.r.string()
	}
}

// Number implements [Frame].
func (*Bye) Number() Number { return NumberBye }

func (e *Bye) appendTo(b []byte) []byte {
	b = begin(b, NumberBye, 2)
	b = appendUint(b, uint64(e.Code))
	return appendUint(b, e.RetryAfterMS)
}

func (e *Bye) decode(f *fields) {
	if f.next() {
		e.Code = Code(f.r.uint())
	}
	if f.next() {
		e.RetryAfterMS = f.r.uint()
	}
}

// Number implements [Frame].
func (*Part) Number() Number { return NumberPart }

func (p *Part) appendTo(b []byte) []byte {
	b = begin(b, NumberPart, 2)
	b = appendUint(b, p.Total)
	return appendBinary(b, p.Bytes)
}

func (p *Part) decode(f *fields) {
	if f.next() {
		p.Total = f.r.uint()
	}
	if f.next() {
		p.Bytes = f.r.binary()
	}
}

// Number implements [Frame].
func (n *Reserved) Number() Number { return n.N }

func (n *Reserved) appendTo(b []byte) []byte { return begin(b, n.N, 0) }

func (*Reserved) decode(*fields) {}
