package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// getsMin is how many keys the workload `get` reads at least, and scanMin for how long `scan` goes on.
const (
	getsMin = 200_000
	scanMin = 500 * time.Millisecond
)

// pair is a key as a program has it, and its value.
type pair struct {
	key   string
	value []byte
}

// pairs gives the keys and values from first on, at most a batch of them.
func (r *run) pairs(first uint64) []pair {
	made := make([]pair, 0, r.batch)
	for n := first; n < min(first+r.batch, r.keys); n++ {
		made = append(made, pair{key(n), value(n)})
	}
	return made
}

// write puts the keys in batches, each durable, and tells how long that took; making up keys and values does not count.
func (r *run) write(to *replica) (took time.Duration, err error) {
	for first := uint64(0); first < r.keys; first += r.batch {
		pairs := r.pairs(first)
		start := time.Now()
		if err := to.putBatch(pairs); err != nil {
			return 0, err
		}
		took += time.Since(start)
	}
	return took, nil
}

func (r *replica) putBatch(pairs []pair) error {
	ctx := context.Background()
	batch, err := r.Batch(ctx)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		if err := batch.Put(ctx, ds.NewKey(pair.key), pair.value); err != nil {
			return err
		}
	}
	return errors.Join(batch.Commit(ctx), r.durable())
}

// written is a replica that holds all keys, and how long that took, each batch durable.
func (r *run) written() (*replica, time.Duration, error) {
	to, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return nil, 0, err
	}
	took, err := r.write(to)
	return to, took, err
}

func ingest(r *run) error {
	to, took, err := r.written()
	if err != nil {
		return err
	}
	return errors.Join(r.report("", "keys/s", r.keys, took), to.close())
}

// size reports how much memory an ingest took, and how much disk when the store has been closed.
func size(r *run) error {
	to, took, err := r.written()
	if err != nil {
		return err
	}
	if err := to.close(); err != nil {
		return err
	}
	return r.report("", "keys/s", r.keys, took)
}

func get(r *run) error {
	from, _, err := r.written()
	if err != nil {
		return err
	}
	gets := max(getsMin, r.keys/10)
	keys := make([]ds.Key, 0, gets)
	for i := range gets {
		keys = append(keys, ds.NewKey(key(drawn(i, r.keys))))
	}
	start := time.Now()
	for _, key := range keys {
		if err := found(from, key); err != nil {
			return err
		}
	}
	return errors.Join(r.report("", "gets/s", gets, time.Since(start)), from.close())
}

// found is an error unless the replica holds the key.
func found(in *replica, key ds.Key) error {
	got, err := in.Get(context.Background(), key)
	if err == nil && len(got) != valueLen {
		err = fmt.Errorf("a value of %d bytes, expected %d", len(got), valueLen)
	}
	if err != nil {
		return fmt.Errorf("key %s: %w", key, err)
	}
	return nil
}

// foundMany looks up a thousand keys.
func (r *run) foundMany(in *replica) error {
	for i := range uint64(1_000) {
		if err := found(in, ds.NewKey(key(drawn(i, r.keys)))); err != nil {
			return err
		}
	}
	return nil
}

func scan(r *run) error {
	from, _, err := r.written()
	if err != nil {
		return err
	}
	start, rows := time.Now(), uint64(0)
	for time.Since(start) < scanMin {
		results, err := from.Query(context.Background(), query.Query{Prefix: prefix})
		if err != nil {
			return err
		}
		before := rows
		for row := range results.Next() {
			if row.Error != nil {
				return row.Error
			}
			rows++
		}
		if rows-before != r.keys {
			return fmt.Errorf("a scan gave %d rows, expected %d", rows-before, r.keys)
		}
	}
	return errors.Join(r.report("", "rows/s", rows, time.Since(start)), from.close())
}

// coldSync measures how long a fresh replica takes from hearing the head until all is merged and durable.
func coldSync(r *run) error {
	writer, _, err := r.written()
	if err != nil {
		return err
	}
	return r.fetchAll(writer, "keys/s")
}

// chain is coldSync of blocks that hold one put each.
func chain(r *run) error {
	writer, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	for n := range r.keys {
		if err := writer.Put(context.Background(), ds.NewKey(key(n)), value(n)); err != nil {
			return err
		}
	}
	if err := writer.durable(); err != nil {
		return err
	}
	return r.fetchAll(writer, "blocks/s")
}

func (r *run) fetchAll(writer *replica, unit string) error {
	reader, err := openReplica(r.store, r.path("reader"), writer)
	if err != nil {
		return err
	}
	start := time.Now()
	reader.feed.queue <- writer.feed.last
	if err := reader.feed.wait(1); err != nil {
		return err
	}
	took := time.Since(start)
	if err := r.same(reader, writer); err != nil {
		return err
	}
	return errors.Join(r.report("", unit, r.keys, took), reader.close(), writer.close())
}

// live measures how long it takes until both have all keys durably: the writer goes on while the reader merges.
func live(r *run) error {
	writer, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	reader, err := openReplica(r.store, r.path("reader"), writer)
	if err != nil {
		return err
	}
	writer.feed.others = append(writer.feed.others, reader.feed)
	start := time.Now()
	if _, err := r.write(writer); err != nil {
		return err
	}
	if err := reader.feed.wait((r.keys + r.batch - 1) / r.batch); err != nil {
		return err
	}
	took := time.Since(start)
	if err := r.same(reader, writer); err != nil {
		return err
	}
	return errors.Join(r.report("", "keys/s", r.keys, took), reader.close(), writer.close())
}

// same is an error unless both replicas have the same heads and the reader has the keys that are looked up.
func (r *run) same(reader, writer *replica) error {
	ctx := context.Background()
	theirs, ours := reader.InternalStats(ctx), writer.InternalStats(ctx)
	if len(theirs.Heads) != 1 || len(ours.Heads) != 1 || theirs.Heads[0] != ours.Heads[0] || reader.IsDirty(ctx) {
		return fmt.Errorf("the reader ended with the heads %v, expected %v", theirs.Heads, ours.Heads)
	}
	return r.foundMany(reader)
}

// crash writes all keys, each batch durable, and dies without closing anything.
func crash(r *run) error {
	if _, _, err := r.written(); err != nil {
		return err
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {}
}

// reopen measures how long it takes from nothing until a key has been read from what crash left.
func reopen(r *run) error {
	start := time.Now()
	from, err := openReplica(r.store, r.path("writer"), nil)
	if err != nil {
		return err
	}
	if err := found(from, ds.NewKey(key(r.keys-1))); err != nil {
		return err
	}
	took := time.Since(start)
	if err := r.foundMany(from); err != nil {
		return err
	}
	return errors.Join(r.report("", "opens/s", 1, took), from.close())
}
