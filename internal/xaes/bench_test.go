package xaes

import "testing"

func BenchmarkSeal(b *testing.B) {
	a := newAEAD(b, randomBytes(KeySize))
	plaintext, additional := randomBytes(200), randomBytes(40)
	dst := make([]byte, 0, Overhead+len(plaintext))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Seal(dst, plaintext, additional); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen compares a cached salt with a new one.
func BenchmarkOpen(b *testing.B) {
	a := newAEAD(b, randomBytes(KeySize))
	additional := randomBytes(40)
	sealed, _ := a.Seal(nil, randomBytes(200), additional)
	buffer := make([]byte, len(sealed))
	run := func(b *testing.B, forget bool) {
		b.ReportAllocs()
		for b.Loop() {
			if forget {
				a.cache[int(sealed[0])%cacheSets*cacheWays].Store(nil)
			}
			copy(buffer, sealed)
			if _, err := a.Open(buffer, additional); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("salt met before", func(b *testing.B) { run(b, false) })
	b.Run("salt not met", func(b *testing.B) { run(b, true) })
}
