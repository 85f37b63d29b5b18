package syncserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"skerry/shared/digest"
)

// RotateSeal gives a log that no server uses a new secret to seal positions with. Seals under the earlier ones count as ever, and how many there
// are it returns; with forget none of them does any more: what replicas then hold beyond a backup under those is not taken back. Tokens for HTTP,
// which are made under the secret too, end. A crash leaves the one secret or the other, and no seal that was given is forgotten but by forget.
func RotateSeal(ctx context.Context, log Log, forget bool) (earlier int, err error) {
	current, err := log.Key(ctx, keySeal)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", keySeal, err)
	}
	if len(current) != digest.Size {
		return 0, errors.New("there is no secret to rotate: a server that serves the data makes one")
	}
	last, kept := uint64(0), false
	err = scan(ctx, log, keyOldSeals, func(key string, value []byte) error {
		earlier++
		kept = kept || string(value) == string(current) // by a rotation that was cut off
		if _, err := fmt.Sscanf(key[len(keyOldSeals):], "%x", &last); err != nil {
			return fmt.Errorf("%s is no key of an earlier secret", key)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", keyOldSeals, err)
	}
	if !kept && !forget {
		if err := set(ctx, log, fmt.Sprintf("%s%016x", keyOldSeals, last+1), nil, current); err != nil {
			return 0, err
		}
		earlier++
	}
	secret := make([]byte, digest.Size)
	rand.Read(secret)
	if err := set(ctx, log, keySeal, current, secret); err != nil {
		return 0, err
	}
	if !forget {
		return earlier, nil
	}
	return 0, dropKeys(ctx, log, keyOldSeals)
}

// set sets a key that nobody else changes.
func set(ctx context.Context, log Log, key string, old, value []byte) error {
	done, err := log.CompareAndSet(ctx, key, old, value)
	if err == nil && !done {
		err = errors.New("somebody else changes it")
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
