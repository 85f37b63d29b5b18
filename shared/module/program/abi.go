package program

// The binary interfaces that this package speaks, by their numbers: the first one, and the newest.
const (
	ABI        = 1
	ABISchemas = 2 // the same, and a payload is read by the schema that its event has
)

// importModule is the module name of everything that a module may import.
const importModule = "skerry1"

// signatures are those of what a module imports and exports.
var (
	importSignatures = map[string]string{
		"get":        "i32 i32 i32 i32 i32 -> i32",
		"put":        "i32 i32 i32 ->",
		"delete":     "i32 i32 i32 -> i32",
		"scan_open":  "i32 i32 i32 i32 i32 -> i32",
		"scan_next":  "i32 i32 i32 -> i32",
		"scan_close": "i32 ->",
		"fail":       "i32 i32 i32 ->",
		"blake3":     "i32 i32 i32 ->",
		"log":        "i32 i32 ->",
	}
	exportSignatures = [...]string{Authorize: "i32 -> i32", Apply: "i32 ->", Init: "i32 ->", Readable: "i32 -> i32", Migrate: "i32 -> i32"}
)

const (
	signatureIO  = "-> i32"
	exportMemory = "memory"
)

// The constants of the ABI. They are rules: they are the same wherever a log is judged, and for ever.
const (
	Fuel            = 10_000_000  // of one call of authorize, apply, readable, or skerry_io
	FuelTransaction = 100_000_000 // of all calls of authorize for a transaction, and of all calls of apply
	FuelInit        = 100_000_000 // of init, and of the start
	MaxReason       = 1 << 10     // bytes of the reason of fail
	MaxOwnCode      = 1<<16 - 1
	MaxScans        = 8       // open at a time
	MaxLog          = 1 << 10 // bytes of one line
	descending      = 1       // flag of scan_open
	undeclared      = 0xffffffff
	memoryPage      = 64 << 10
	maxHostBytes    = 1 << 20 // that one host function takes or gives
)

// What host functions cost, beside a unit for eight bytes that they take or give.
const (
	costGet      = 100
	costWrite    = 200 // put and delete
	costIndex    = 100 // that is written
	costScan     = 100
	costRow      = 50 // that a scan gives
	costOther    = 100
	costHash     = 2 // a byte, in place of the eighth
	bytesPerFuel = 8
)
