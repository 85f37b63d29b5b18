package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

// A browser deletes databases under open pages: its user clears the site's data, or it wants the room. The store says
// so of each call from then on, until it is told to go on with what is there instead. What this tab still has in memory
// and no server has is written to that; other tabs do the same with what they have.

// renewEvery is how long to wait until the store is asked again to go on.
const renewEvery = time.Second

// ends reports whether an error of the store is its last word.
func ends(err error) bool { return errors.Is(err, ErrNewerStore) || errors.Is(err, ErrForgotten) }

// storeFailed takes note of an error of the store, by a call that was made in the given life of the replica.
func (c *Client) storeFailed(life uint64, err error) {
	if ends(err) && c.over == nil {
		c.log(err.Error())
		c.over = err
		c.letGo() // a tab of the newer version must be able to lead
		c.step(replica.Following{})
		if code := final(err); code == wire.CodeForgotten {
			c.decideAll(&wire.CodeError{Code: code, Reason: err.Error()}) // nobody will ever send what was stored
		}
		c.changed()
	}
	if errors.Is(err, ErrReplicaLost) && life == c.life.Load() && c.renewal == nil && c.over == nil {
		if store, ok := c.config.Store.(Renewer); ok {
			c.log("what was stored here was deleted, by the browser or its user")
			c.renewal = make(chan struct{})
			c.work.Go(func() {
				loaded, err := c.renew(store)
				c.post(func() { c.renewed(loaded, err) })
			})
		}
	}
}

// renew makes the store go on. An error says that it never will, or that the client closes.
func (c *Client) renew(store Renewer) (*replica.Loaded, error) {
	for {
		err := store.Renew(c.ctx, c.own)
		if err == nil {
			var loaded *replica.Loaded
			if loaded, err = c.config.Store.Load(c.ctx); err == nil {
				if loaded.Meta.Identity == c.own {
					return loaded, nil
				}
				err = fmt.Errorf("it is %q's, and not %q's", loaded.Meta.Identity, c.own)
			}
		}
		if c.ctx.Err() != nil || ends(err) {
			return nil, err
		}
		c.log("going on with what is stored instead failed: " + err.Error())
		sleep(c.ctx, renewEvery)
	}
}

// renewed goes on with what is in place of a replica that was destroyed, or ends with the store.
func (c *Client) renewed(loaded *replica.Loaded, err error) {
	if err != nil {
		c.storeFailed(c.life.Load(), err)
		close(c.renewal)
		c.renewal = nil
		return
	}
	c.life.Add(1)
	close(c.renewal)
	c.renewal, c.obstacle = nil, nil
	c.letGo() // whoever leads the new replica raises its epoch first
	if meta := c.core.Meta(); meta.LoggedOut() {
		c.work.Go(func() { c.storeLogin(context.Background(), meta.Login) }) // who logged out stays so
	}
	c.step(replica.Lost{Loaded: loaded})
	for _, v := range c.views {
		v.signal()
	}
	c.log(c.core.Status().Lost)
	if !c.suspended {
		c.contend(0, false)
	}
}

// read reads from the store, again when the replica was destroyed meanwhile and another one is in its place.
func (c *Client) read(ctx context.Context, f func(Store) error) error {
	for {
		life := c.life.Load()
		err := f(c.config.Store)
		if _, ok := c.config.Store.(Renewer); !ok || !errors.Is(err, ErrReplicaLost) {
			return err
		}
		var renewal <-chan struct{}
		var over error
		err = c.call(ctx, func() {
			c.storeFailed(life, err)
			renewal, over = c.renewal, c.over
		})
		if err == nil && over != nil {
			return over
		}
		if err == nil && renewal != nil {
			select {
			case <-renewal:
			case <-ctx.Done():
				err = ctx.Err()
			case <-c.ctx.Done():
				err = errClosed
			}
		}
		if err != nil {
			return err
		}
	}
}
