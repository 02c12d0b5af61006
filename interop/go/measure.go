package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// measurement is one line of the output. compare/src/measurement.rs reads it and prints the same.
type measurement struct {
	Workload string `json:"workload"`
	// Part tells the lines of one workload apart: "800 versions", "first". Often empty.
	Part  string `json:"part"`
	Store string `json:"store"`
	Keys  uint64 `json:"keys"`
	// Unit is what is counted, a second: "keys/s", "puts/s".
	Unit    string  `json:"unit"`
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	// N is how many of the unit were done in these seconds.
	N uint64 `json:"n"`
	// RSSBytes is the peak of the process's memory so far.
	RSSBytes uint64 `json:"rss_bytes"`
	// DiskBytes is what the folder takes on the disk, all replicas of the run together.
	DiskBytes uint64 `json:"disk_bytes"`
}

// report prints one line: n of the unit were done in that time.
func (r *run) report(part, unit string, n uint64, took time.Duration) error {
	disk, err := diskBytes(r.dir)
	if err != nil {
		return err
	}
	rss, err := rssBytes()
	if err != nil {
		return err
	}
	seconds := max(took.Seconds(), 1e-9)
	return json.NewEncoder(os.Stdout).Encode(measurement{
		Workload: r.workload, Part: part, Store: r.store, Keys: r.keys, Unit: unit,
		Rate: float64(n) / seconds, Seconds: seconds, N: n, RSSBytes: rss, DiskBytes: disk,
	})
}

// rssBytes is the peak of the process's resident memory. Linux keeps it as VmHWM from the moment of exec;
// getrusage, taken elsewhere, may hold the parent's peak from before it.
func rssBytes() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
				kib, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
				return kib << 10, err
			}
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the peak of memory: %w", err)
	}
	return uint64(usage.Maxrss) << 10, nil
}

// diskBytes is what the files below the folder take on the disk. Engines reserve room ahead, some by allocating
// blocks beyond the end of a file and some by moving the end beyond what is allocated: of a file's length and its
// allocated blocks the smaller counts.
func diskBytes(dir string) (uint64, error) {
	var sum uint64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && !entry.IsDir() {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // the engine cleans up meanwhile
			return nil
		}
		if stat, ok := sysStat(info); ok {
			sum += min(uint64(stat.Blocks)*512, uint64(stat.Size))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return sum, nil
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}
