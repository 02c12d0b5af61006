package main

import "testing"

// The same vectors are checked in compare/src/data.rs, so that both sides write and read the same keys.
func TestKeysAndDrawsAreThoseOfTheOtherSide(t *testing.T) {
	keys := map[uint64]string{
		0:         "/bench/00000000000000000000000000000000",
		1:         "/bench/9e3779b97f4a7c15f39cc0605cedc835",
		9_999_999: "/bench/44fba7d577b110b3ecb313704cbd604b",
	}
	for n, want := range keys {
		if got := key(n); got != want || len(got) != 39 {
			t.Errorf("key(%d) = %s, want %s", n, got, want)
		}
	}
	for i, want := range []uint64{607535, 355700, 545679} {
		if got := drawn(uint64(i), 1_000_000); got != want {
			t.Errorf("drawn(%d) = %d, want %d", i, got, want)
		}
	}
}
