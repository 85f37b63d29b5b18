package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"io"

	"skerry/shared/archive"
	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// archiveBytes is about how much of a space's history one message of an archive, or one commit of an import, holds.
const archiveBytes = 256 << 10

// Export writes spaces to an archive: their history as this device has it (the newest part alone where the rest is not here), what waits, what was refused and what the server lost. No ids mean
// every space. It needs no network. What was appended before the call is in it. An error of code bad_chain tells that
// the history kept here is damaged.
func (c *Client) Export(ctx context.Context, to io.Writer, ids ...space.ID) error {
	if err := c.flush(ctx); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	header := archive.Header{Time: wallClock()}
	err := c.call(ctx, func() {
		header.Server = c.core.Meta().Server
		if len(ids) == 0 {
			ids = c.core.Spaces()
		}
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	w := archive.NewWriter(to, header)
	for _, id := range ids {
		if err := c.exportSpace(ctx, w, id); err != nil {
			return fmt.Errorf("export space %s: %w", id, err)
		}
	}
	return w.Close()
}

// flush waits until what was appended is durable or has failed.
func (c *Client) flush(ctx context.Context) error {
	drained := make(chan error, 1)
	err := c.call(ctx, func() {
		c.drained = append(c.drained, drained)
		c.drain()
	})
	if err != nil {
		return err
	}
	return wait(ctx, drained)
}

func (c *Client) exportSpace(ctx context.Context, w *archive.Writer, id space.ID) error {
	snapshot, err := c.config.Store.Refresh(ctx, id)
	if err != nil {
		return err
	}
	if !snapshot.Known {
		return wire.Errorf(wire.CodeNoSuchSpace, "this replica knows no such space")
	}
	info := &snapshot.Info
	if err := c.exportHistory(ctx, w, id, info); err != nil {
		return err
	}
	for after := uint64(0); ; {
		rows, err := c.config.Store.Outbox(ctx, id, after, archiveBytes)
		if err != nil {
			return err
		}
		for i := range rows {
			after = rows[i].Key
			if rows[i].State == replica.Withdrawn {
				continue
			}
			if err := w.Waiting(rows[i].Transaction); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			break
		}
	}
	rejected, err := c.config.Store.Rejected(ctx, id)
	for i := range rejected {
		row := &rejected[i]
		if err := w.Refused(archive.Refusal{Transaction: row.Transaction, Code: row.Code, Reason: row.Reason}); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	lost, err := c.config.Store.Lost(ctx, id)
	for i := range lost {
		row := &lost[i]
		if err := w.Lost(archive.Lost{Transaction: row.Transaction, ReceivedAt: row.ReceivedAt, Code: row.Code, Reason: row.Reason}); err != nil {
			return err
		}
	}
	return err
}

// exportHistory begins a space in the archive and writes its records up to the position that info tells. Where part of the log is not
// here, the history in the archive begins behind that. Where records are missing otherwise it ends below them: what is above cannot be
// proven by itself.
func (c *Client) exportHistory(ctx context.Context, w *archive.Writer, id space.ID, info *replica.SpaceInfo) error {
	err := w.Space(archive.Space{
		ID: id, Genesis: info.Genesis, GenesisSignature: info.GenesisSignature, Created: info.Created,
		Module: info.Module, Start: info.Base(id),
	})
	if err != nil {
		return err
	}
	position := info.Base(id)
	var tail []space.Record // of a transaction whose end was not read yet
	for position.Seq < info.Position.Seq {
		after := position.Seq + uint64(len(tail))
		records, err := c.config.Store.Read(ctx, id, after, 1000, archiveBytes)
		if err != nil {
			return err
		}
		if len(records) == 0 || records[0].Seq != after+1 {
			return nil
		}
		records = append(tail, records...)
		end := len(records)
		for end > 0 && (!records[end-1].Last() || records[end-1].Seq > info.Position.Seq) {
			end--
		}
		if tail = records[end:]; end == 0 {
			continue
		}
		position = space.Position{Seq: records[end-1].Seq, Chain: space.Fold(position.Chain, records[:end])}
		if position.Seq == info.Position.Seq {
			if position.Chain != info.Position.Chain {
				return wire.Errorf(wire.CodeBadChain, "the history kept here does not hash to its position %d", position.Seq)
			}
			position = info.Position
		}
		if err := w.Records(records[:end], position); err != nil {
			return err
		}
	}
	return nil
}

// Imported tells what [Client.Import] did with one space.
type Imported struct {
	Space    space.ID
	Records  int       // added to the history
	Waiting  int       // transactions that wait for the server now, or that did before
	Rejected int       // refused transactions, to be retried or discarded
	Lost     int       // transactions that the server lost, among them those that were here already
	Foreign  int       // transactions of other identities that wait: they were left out, import them as those
	Code     wire.Code // why the history was left out; zero if it was not
	Reason   string    // for people
}

// Import adds what an archive holds to the replica. All of the archive is checked before anything is written. What is
// here already stays: history is continued where it follows, transactions that wait are sent with their ids, so that
// the server takes none twice, and importing an archive again changes nothing. It needs no network.
//
// Errors have the codes bad_archive and bad_chain for a file that is not whole, server_changed for one of another
// server's spaces, quota and storage_failed for a device that did not take all of it; then the import may be repeated.
func (c *Client) Import(ctx context.Context, file io.ReadSeeker) ([]Imported, error) {
	in := importer{client: c}
	if err := in.check(ctx, file); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	r, err := archive.NewReader(file)
	if err == nil {
		err = eachItem(r, func(item archive.Item) error { return in.take(ctx, item) })
	}
	if err == nil {
		err = in.write(ctx)
	}
	if err != nil {
		return in.done, fmt.Errorf("import: %w", err)
	}
	return in.done, nil
}

func eachItem(r *archive.Reader, take func(archive.Item) error) error {
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = take(item)
		}
		if err != nil {
			return err
		}
	}
}

// importer adds an archive to a store, in commits as small as those of sync.
type importer struct {
	client *Client
	done   []Imported
	known  *replica.Snapshot   // the space that is being imported, as the store has it
	ids    map[space.ULID]bool // what is in its history here, was refused here, or came from the archive; nil until needed
	part   replica.SpaceCommit // gathered
	size   int
}

// check reads all of the file, and whose it is.
func (in *importer) check(ctx context.Context, file io.Reader) error {
	r, err := archive.NewReader(file)
	if err != nil {
		return err
	}
	var server [32]byte
	if err := in.client.call(ctx, func() { server = in.client.core.Meta().Server }); err != nil {
		return err
	}
	if theirs := r.Header().Server; theirs != server && theirs != [32]byte{} && server != [32]byte{} {
		return wire.Errorf(wire.CodeServerChanged, "the archive is of spaces of the server %s, and this replica syncs with %s",
			digest.Digest(theirs), digest.Digest(server))
	}
	return eachItem(r, func(item archive.Item) error {
		var t *space.Transaction
		switch item := item.(type) {
		case *archive.Waiting:
			t = &item.Transaction
		case *archive.Refusal:
			t = &item.Transaction
		case *archive.Lost: // was in a log: limits and reserved types do not concern it
			if item.Transaction.ID() == (space.ULID{}) {
				return wire.Errorf(wire.CodeBadArchive, "a lost transaction has no id")
			}
			return nil
		default:
			return nil
		}
		if err := checkTransaction(t); err != nil {
			return wire.Errorf(wire.CodeBadArchive, "the transaction %s was not made by Skerry: %v", t.ID(), err)
		}
		return nil
	})
}

func (in *importer) take(ctx context.Context, item archive.Item) error {
	if s, begins := item.(*archive.Space); begins {
		return in.begin(ctx, s)
	}
	if in.size > archiveBytes {
		if err := in.write(ctx); err != nil {
			return err
		}
	}
	if records, ok := item.(*archive.Records); ok {
		return in.records(ctx, records)
	}
	if err := in.learn(ctx); err != nil {
		return err
	}
	switch item := item.(type) {
	case *archive.Waiting:
		in.waiting(&item.Transaction)
	case *archive.Refusal:
		in.refused(item)
	case *archive.Lost:
		in.lost(item)
	}
	return nil
}

func (in *importer) begin(ctx context.Context, s *archive.Space) error {
	if err := in.write(ctx); err != nil {
		return err
	}
	known, err := in.client.config.Store.Refresh(ctx, s.ID)
	if err != nil {
		return err
	}
	in.known, in.ids = known, nil
	in.part = replica.SpaceCommit{Space: s.ID, Insert: &replica.SpaceInfo{
		Genesis: s.Genesis, GenesisSignature: s.GenesisSignature, Created: s.Created, Module: s.Module, Position: space.Start(s.ID),
	}}
	in.done = append(in.done, Imported{Space: s.ID})
	return nil
}

// learn fills in ids, once all history has come.
func (in *importer) learn(ctx context.Context) error {
	if in.ids != nil {
		return nil
	}
	in.ids = map[space.ULID]bool{}
	for i := range in.known.Rejected {
		in.ids[in.known.Rejected[i].ID] = true
	}
	ids, err := in.client.readIDs(ctx, in.part.Space, 0)
	for _, id := range ids {
		in.ids[id.ID] = true
	}
	return err
}

// now is the result of the space that is being imported.
func (in *importer) now() *Imported { return &in.done[len(in.done)-1] }

// records adds a part of the history, if it follows on what is here; what is here already is passed over.
func (in *importer) records(ctx context.Context, item *archive.Records) error {
	here := in.known.Info.Position
	if !in.known.Known {
		here = space.Start(in.part.Space)
	}
	if in.now().Code != 0 || item.Position.Seq < here.Seq {
		return nil
	}
	if item.Before.Seq > here.Seq {
		if here.Seq > 0 { // whether it is of one log with what is here, nothing tells
			in.now().Code = wire.CodeNotHere
			in.now().Reason = fmt.Sprintf("the archive's history begins behind record %d, and what is here ends at %d", item.Before.Seq, here.Seq)
			return nil
		}
		if err := in.write(ctx); err != nil {
			return err
		}
		in.part.Expect, in.part.Position = &here, &item.Before
		if err := in.write(ctx); err != nil || in.now().Code != 0 {
			return err
		}
		here = in.known.Info.Position
	}
	have := int(here.Seq - item.Before.Seq)
	if space.Fold(item.Before.Chain, item.Records[:have]) != here.Chain {
		in.now().Code, in.now().Reason = wire.CodeDiverged, "the archive's history of this space is another one than is here"
		return nil
	}
	records := item.Records[have:]
	if len(records) == 0 {
		return nil
	}
	if err := in.write(ctx); err != nil { // a commit has one run of records
		return err
	}
	part := &in.part
	part.Expect, part.Position = &here, &item.Position
	part.First, part.Last = records[0].Seq, records[len(records)-1].Seq
	for i := range records {
		part.Records = wire.AppendRecord(part.Records, &records[i])
		if records[i].Index == 0 {
			part.Settle = append(part.Settle, records[i].ID)
		}
	}
	if err := in.write(ctx); err != nil {
		return err
	}
	in.now().Records += len(records)
	return nil
}

func (in *importer) waiting(t *space.Transaction) {
	switch {
	case in.ids[t.ID()]: // it came to the log, or was refused here
	case t.Author != in.client.identity:
		in.now().Foreign++
	default:
		in.append(t)
		in.now().Waiting++
	}
}

// refused brings a transaction to the rejected store, which is reached through the outbox.
func (in *importer) refused(r *archive.Refusal) {
	id := r.Transaction.ID()
	if in.ids[id] {
		return
	}
	for i := range in.known.Outbox {
		if in.known.Outbox[i].ID == id {
			return // it was retried here
		}
	}
	in.append(&r.Transaction)
	in.part.Reject = append(in.part.Reject, replica.Rejection{ID: id, Code: r.Code, Reason: r.Reason, By: "server"})
	in.now().Rejected++
}

// lost keeps a transaction of somebody else that is in no log, unless it has come to the one that is here.
func (in *importer) lost(l *archive.Lost) {
	id := l.Transaction.ID()
	if in.ids[id] {
		return
	}
	in.size += l.Transaction.Size()
	in.part.Lost = append(in.part.Lost, replica.LostRow{
		ID: id, Transaction: l.Transaction, ReceivedAt: l.ReceivedAt, Code: l.Code, Reason: l.Reason, By: replica.ByServer,
	})
	in.now().Lost++
}

func (in *importer) append(t *space.Transaction) {
	in.ids[t.ID()] = true
	in.size += t.Size()
	in.part.Append = append(in.part.Append, replica.OutboxRow{
		Entry: replica.Entry{
			ID: t.ID(), Stamp: in.stamp(), Author: t.Author, Size: t.Size(),
			AppendedAt: t.ID().Time(), // what is known of it
		},
		Transaction: *t,
	})
}

// stamp returns the stamp of a space that this identity made, zero for others.
func (in *importer) stamp() space.ULID {
	if g := in.part.Insert.Genesis; g != nil && g.Creator == in.client.identity {
		return g.Stamp
	}
	return space.ULID{}
}

// write commits what was gathered. It is made without a fence, as by a tab that does not lead: the position is its
// condition, and whoever leads looks again.
func (in *importer) write(ctx context.Context) error {
	part := &in.part
	if part.Space == (space.ID{}) || in.written() {
		return nil
	}
	result, err := in.client.config.Store.Commit(ctx, &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{*part}})
	switch {
	case errors.Is(err, ErrFull):
		return wire.Errorf(wire.CodeQuota, "%v", err)
	case err != nil:
		return err
	case result.Stale:
		in.now().Code, in.now().Reason = wire.CodeBehind, "this space went on while its history was imported: import again"
	default:
		in.tell(part.Space, result.Versions[0])
	}
	if in.known, err = in.client.config.Store.Refresh(ctx, part.Space); err != nil {
		return err
	}
	in.part = replica.SpaceCommit{Space: part.Space, Insert: part.Insert}
	in.size = 0
	return nil
}

// written reports whether nothing was gathered that the store does not have.
func (in *importer) written() bool {
	return in.known.Known && len(in.part.Append)+len(in.part.Lost)+len(in.part.Records) == 0 && in.part.Position == nil &&
		(in.part.Insert.Genesis == nil || in.known.Info.Genesis != nil)
}

// tell has this tab and the others look at the space again.
func (in *importer) tell(id space.ID, version uint64) {
	in.client.post(func() {
		in.client.step(replica.Hint{Space: id, Version: version})
		in.client.say(Message{Space: id, Version: version})
	})
}
