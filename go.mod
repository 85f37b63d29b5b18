module skerry

go 1.26

require (
	github.com/klauspost/cpuid/v2 v2.0.12 // indirect
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	github.com/zeebo/blake3 v0.2.4 // indirect
)
