package syncserver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/identity"
	"skerry/shared/space"
)

// The keys of the log under which a server keeps who it is. They are in every backup.
const (
	keyServer = "server/key"  // the seed of its Ed25519 key
	keySeal   = "server/seal" // the secret under which positions are sealed
)

// secrets is who a server is, made once with its log.
type secrets struct {
	public  [32]byte
	private ed25519.PrivateKey
	seal    [digest.Size]byte
	old     [][digest.Size]byte // that positions were sealed with before
}

// loadSecrets reads the secrets, or makes them. Servers that start on one log at once agree, since only one of
// them sets each key.
func loadSecrets(ctx context.Context, log Log) (secrets, error) {
	var s secrets
	seed, err := secret(ctx, log, keyServer)
	if err != nil {
		return s, err
	}
	s.setKey(seed)
	seal, err := secret(ctx, log, keySeal)
	if err != nil {
		return s, err
	}
	copy(s.seal[:], seal)
	s.old, err = oldSeals(ctx, log)
	return s, err
}

func (s *secrets) setKey(seed []byte) {
	s.private = ed25519.NewKeyFromSeed(seed)
	copy(s.public[:], s.private.Public().(ed25519.PublicKey))
}

// identity returns the name of the server's key, under which it writes.
func (s *secrets) identity() string {
	key, err := identity.New(identity.Ed25519, s.public[:])
	if err != nil {
		panic("syncserver: " + err.Error())
	}
	return key.String()
}

// sign signs a message with the server's key.
func (s *secrets) sign(message []byte) []byte { return ed25519.Sign(s.private, message) }

func secret(ctx context.Context, log Log, key string) ([]byte, error) {
	for {
		value, err := log.Key(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if value != nil {
			if len(value) != 32 {
				return nil, fmt.Errorf("%s has %d bytes instead of 32", key, len(value))
			}
			return value, nil
		}
		made := make([]byte, 32)
		rand.Read(made)
		if _, err := log.CompareAndSet(ctx, key, nil, made); err != nil {
			return nil, fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// setKey sets a key, whatever it holds; nil deletes it.
func setKey(ctx context.Context, log Log, key string, value []byte) error {
	for {
		was, err := log.Key(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		done, err := log.CompareAndSet(ctx, key, was, value)
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		if done {
			return nil
		}
	}
}

// scan calls f with each key that begins with prefix.
func scan(ctx context.Context, log Log, prefix string, f func(key string, value []byte) error) error {
	for after := ""; ; {
		rows, err := log.Scan(ctx, prefix, after, 500)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := f(row.Key, row.Value); err != nil {
				return err
			}
			after = row.Key
		}
		if len(rows) < 500 {
			return nil
		}
	}
}

// EachSpace calls f with each space that a log has, in the order of their IDs, until it fails; its error is then that of f or of the log.
func EachSpace(ctx context.Context, log Log, f func(space.ID) error) error {
	for after := (space.ID{}); ; {
		ids, err := log.Spaces(ctx, after, 1000)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f(id); err != nil {
				return err
			}
			after = id
		}
		if len(ids) < 1000 {
			return nil
		}
	}
}
