package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	crdt "github.com/ipfs/go-ds-crdt"
	pebbleds "github.com/ipfs/go-ds-pebble"
)

// pebbleMemory is given to Pebble's block cache and memtable in the store `pebble`: what Anabranch's default
// engine takes (FjallOptions::default), so that neither side wins by memory.
const (
	pebbleCacheBytes    = 256 << 20
	pebbleMemtableBytes = 64 << 20
)

// replica is one go-ds-crdt datastore with all that it stands on.
type replica struct {
	*crdt.Datastore
	store  ds.Batching
	blocks blockstore.Blockstore
	feed   *feed
}

// openReplica opens a replica in a folder of its own. What its blockstore lacks is read, at once, from that of
// peer, which may be nil.
func openReplica(kind, dir string, peer *replica) (*replica, error) {
	store, err := openStore(kind, dir)
	if err != nil {
		return nil, err
	}
	r := &replica{store: store, blocks: blockstore.NewBlockstore(store), feed: newFeed()}
	var others *exchange
	if peer != nil {
		others = &exchange{peer.blocks}
	} else {
		others = &exchange{nil}
	}
	service := merkledag.NewDAGService(blockservice.New(r.blocks, others))
	options := crdt.DefaultOptions()
	options.RebroadcastInterval = 24 * time.Hour // not in the way of what is measured
	r.Datastore, err = crdt.New(store, ds.NewKey("/crdt"), service, r.feed, options)
	if err != nil {
		return nil, fmt.Errorf("opening a replica in %s: %w", dir, err)
	}
	r.feed.after = r.durable
	return r, nil
}

func openStore(kind, dir string) (ds.Batching, error) {
	var options *pebble.Options
	switch kind {
	case "map":
		return dssync.MutexWrap(ds.NewMapDatastore()), nil
	case "pebble":
		cache := pebble.NewCache(pebbleCacheBytes)
		defer cache.Unref() // the engine holds its own reference
		options = &pebble.Options{Cache: cache, MemTableSize: pebbleMemtableBytes}
	case "pebble-defaults":
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	store, err := pebbleds.NewDatastore(dir, pebbleds.WithPebbleOpts(options))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	return store, nil
}

// durable makes all that was written so far survive a crash of the machine.
//
// Neither Put nor Batch.Commit of go-ds-crdt does: they write through go-ds-pebble, whose default is
// pebble.NoSync. Datastore.Sync with the prefix "/" calls Sync of the store below, and go-ds-pebble's Sync
// appends an empty record to the write-ahead log with pebble.Sync, which is one fdatasync that covers all
// records before it: blocks, elements, values and heads live in the one Pebble. Any other prefix syncs four times.
func (r *replica) durable() error {
	return r.Sync(context.Background(), ds.NewKey("/"))
}

func (r *replica) close() error {
	return errors.Join(r.Close(), r.store.Close())
}

// feed is an in-process broadcaster.
type feed struct {
	queue chan []byte
	// others hear what this one broadcasts.
	others []*feed
	last   []byte
	// after is called when a message has been dealt with; handled counts them.
	after   func() error
	inHand  bool
	handled atomic.Uint64
	moved   chan struct{}
	failed  atomic.Pointer[error]
}

func newFeed() *feed {
	return &feed{queue: make(chan []byte, 1<<16), moved: make(chan struct{}, 1)}
}

// Broadcast implements crdt.Broadcaster.
func (f *feed) Broadcast(_ context.Context, payload []byte) error {
	f.last = payload
	for _, other := range f.others {
		other.queue <- payload
	}
	return nil
}

// Next implements crdt.Broadcaster. The datastore asks for the next message when it has merged all that the
// one before led to: the moment to make that durable.
func (f *feed) Next(ctx context.Context) ([]byte, error) {
	if f.inHand {
		f.inHand = false
		if err := f.after(); err != nil {
			f.failed.Store(&err)
		}
		f.handled.Add(1)
		select {
		case f.moved <- struct{}{}:
		default:
		}
	}
	select {
	case payload := <-f.queue:
		f.inHand = true
		return payload, nil
	case <-ctx.Done():
		return nil, crdt.ErrNoMoreBroadcast
	}
}

// wait returns when so many messages have been dealt with, durably.
func (f *feed) wait(messages uint64) error {
	for f.handled.Load() < messages {
		<-f.moved
	}
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// exchange answers a fetch at once from another replica's blockstore. The block service then writes the block
// to its own, as it does with bitswap.
type exchange struct {
	other blockstore.Blockstore
}

func (e *exchange) GetBlock(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if e.other == nil {
		return nil, fmt.Errorf("no replica to fetch %s from", c)
	}
	return e.other.Get(ctx, c)
}

func (e *exchange) GetBlocks(ctx context.Context, cids []cid.Cid) (<-chan blocks.Block, error) {
	found := make(chan blocks.Block, len(cids))
	defer close(found)
	for _, c := range cids {
		block, err := e.GetBlock(ctx, c)
		if err != nil {
			return nil, err
		}
		found <- block
	}
	return found, nil
}

func (e *exchange) NotifyNewBlocks(context.Context, ...blocks.Block) error { return nil }

func (e *exchange) Close() error { return nil }

func (r *run) path(name string) string { return filepath.Join(r.dir, name) }
