// Command anabranch-go-bench runs one workload on go-ds-crdt and prints what it measured, a JSON object a line.
//
// It is the other side of `cargo run --release -p anabranch-compare`, which builds and runs it; README.md tells
// what is comparable.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	logging "github.com/ipfs/go-log/v2"
)

// run is one invocation.
type run struct {
	workload, store, dir string
	keys, batch          uint64
	versions             []uint64
}

var workloads = map[string]func(*run) error{
	"ingest":    ingest,
	"size":      size,
	"get":       get,
	"scan":      scan,
	"cold-sync": coldSync,
	"live":      live,
	"chain":     chain,
	"put1":      put1,
	"put64":     put64,
	"same-key":  sameKey,
	"delete":    deleteKey,
	"crash":     crash,
	"reopen":    reopen,
}

var stores = []string{"map", "pebble", "pebble-defaults"}

func main() {
	logging.SetAllLoggers(logging.LevelError)
	r, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %s\n", err)
		os.Exit(2)
	}
	if err := workloads[r.workload](r); err != nil {
		fmt.Fprintf(os.Stderr, "error: workload %s on %s: %s\n", r.workload, r.store, err)
		os.Exit(1)
	}
}

func parse(args []string) (*run, error) {
	var r run
	var versions string
	names := make([]string, 0, len(workloads))
	for name := range workloads {
		names = append(names, name)
	}
	slices.Sort(names)
	flags := flag.NewFlagSet("anabranch-go-bench", flag.ContinueOnError)
	flags.StringVar(&r.workload, "workload", "", "one of "+strings.Join(names, ", "))
	flags.StringVar(&r.store, "store", "map", "one of "+strings.Join(stores, ", "))
	flags.Uint64Var(&r.keys, "keys", 100_000, "how many keys (put1, put64, same-key: puts; chain: blocks)")
	flags.Uint64Var(&r.batch, "batch", 1_000, "puts in a batch")
	flags.StringVar(&versions, "versions", "100,200,400,800", "delete: how often the key was written")
	flags.StringVar(&r.dir, "dir", "", "an empty folder for the stores (reopen: the one that crash left)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if _, known := workloads[r.workload]; !known {
		return nil, fmt.Errorf("unknown --workload %q: expected one of %s", r.workload, strings.Join(names, ", "))
	}
	if !slices.Contains(stores, r.store) {
		return nil, fmt.Errorf("unknown --store %q: expected one of %s", r.store, strings.Join(stores, ", "))
	}
	if r.keys == 0 || r.batch == 0 {
		return nil, errors.New("--keys and --batch must be at least 1")
	}
	if info, err := os.Stat(r.dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--dir %q is no folder: give one that exists", r.dir)
	}
	for text := range strings.SplitSeq(versions, ",") {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--versions %q: expected numbers above 0 with commas between", versions)
		}
		r.versions = append(r.versions, n)
	}
	return &r, nil
}
