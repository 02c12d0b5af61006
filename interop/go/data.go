package main

import (
	"fmt"
	"math/bits"
)

// prefix is what all keys begin with.
const prefix = "/bench"

// valueLen is the length of every value in bytes.
const valueLen = 100

// key gives the nth key: 39 bytes. The number is multiplied by an odd constant modulo 2^128, so that all keys
// differ and do not come in order. benches/core.rs and compare/ use the same formula.
func key(n uint64) string {
	const hi, lo = 0x9e3779b97f4a7c15, 0xf39cc0605cedc835
	carry, low := bits.Mul64(n, lo)
	return fmt.Sprintf("%s/%016x%016x", prefix, carry+n*hi, low)
}

// value gives the nth value.
func value(n uint64) []byte {
	bytes := make([]byte, valueLen)
	for i := range bytes {
		bytes[i] = byte(n)
	}
	return bytes
}

// drawn gives the ith of a sequence of numbers below limit that look random: splitmix64, as in compare/.
func drawn(i, limit uint64) uint64 {
	z := (i + 1) * 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return (z ^ (z >> 31)) % limit
}
