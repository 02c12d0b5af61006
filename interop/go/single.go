package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
)

// callers is how many callers put at once in put64, and deletes how many keys are deleted for each number of versions.
const (
	callers = 64
	deletes = 3
)

// put1 measures puts one after another, each durable before the next.
func put1(r *run) error {
	to, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	start := time.Now()
	for n := range r.keys {
		if err := to.putDurably(n); err != nil {
			return err
		}
	}
	return errors.Join(r.report("", "puts/s", r.keys, time.Since(start)), to.close())
}

func (r *replica) putDurably(n uint64) error {
	return errors.Join(r.Put(context.Background(), ds.NewKey(key(n)), value(n)), r.durable())
}

// put64 measures puts of many callers at once, each of which waits until its put is durable. Pebble gathers
// syncs that wait at the same time into one.
func put64(r *run) error {
	to, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	failures := make([]error, callers)
	var all sync.WaitGroup
	start := time.Now()
	for caller := range uint64(callers) {
		all.Go(func() {
			for n := caller; n < r.keys && failures[caller] == nil; n += callers {
				failures[caller] = to.putDurably(n)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return errors.Join(r.report("", "puts/s", r.keys, took), to.close())
}

// sameKey measures puts of one key, made durable after every tenth of them: the first tenth, the last, and all.
func sameKey(r *run) error {
	to, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	window := max(r.keys/10, 1)
	var counts []uint64
	var took []time.Duration
	var whole time.Duration
	for first := uint64(0); first < r.keys; first += window {
		end := min(first+window, r.keys)
		start := time.Now()
		for n := first; n < end; n++ {
			if err := to.Put(context.Background(), ds.NewKey(key(0)), value(n)); err != nil {
				return err
			}
		}
		if err := to.durable(); err != nil {
			return err
		}
		counts, took = append(counts, end-first), append(took, time.Since(start))
		whole += took[len(took)-1]
	}
	if last := len(took) - 1; last > 0 {
		err = errors.Join(
			r.report("first tenth", "puts/s", counts[0], took[0]),
			r.report("last tenth", "puts/s", counts[last], took[last]),
		)
	}
	return errors.Join(err, r.report("whole", "puts/s", r.keys, whole), to.close())
}

// deleteKey measures durable deletes of keys that were written so many times.
func deleteKey(r *run) error {
	ctx := context.Background()
	to, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	for _, versions := range r.versions {
		for n := range versions {
			for which := range uint64(deletes) {
				if err := to.Put(ctx, deleted(versions, which), value(n)); err != nil {
					return err
				}
			}
		}
		if err := to.durable(); err != nil {
			return err
		}
		start := time.Now()
		for which := range uint64(deletes) {
			if err := errors.Join(to.Delete(ctx, deleted(versions, which)), to.durable()); err != nil {
				return err
			}
		}
		took := time.Since(start)
		for which := range uint64(deletes) {
			if has, err := to.Has(ctx, deleted(versions, which)); has || err != nil {
				return errors.Join(err, fmt.Errorf("key %s outlived its delete", deleted(versions, which)))
			}
		}
		if err := r.report(fmt.Sprintf("%d versions", versions), "deletes/s", deletes, took); err != nil {
			return err
		}
	}
	return to.close()
}

// deleted is one of the keys that are written so many times and deleted.
func deleted(versions, which uint64) ds.Key {
	return ds.NewKey(key(versions*deletes + which))
}
