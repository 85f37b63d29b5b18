package meter

// The caps on a module. A module at the cap passes, one above is refused.
const (
	MaxModule     = 4 << 20   // bytes of the whole
	MaxTypes      = 10_000    // function types
	MaxFunctions  = 20_000    // functions of its own
	MaxImports    = 64        // functions that it imports
	MaxExports    = 64        //
	MaxGlobals    = 1_000     //
	MaxTable      = 10_000    // elements of the table
	MaxData       = 65_536    // segments of data; Go's linker makes 12,000 for each MiB, and browsers take 100,000
	MaxElements   = 10_000    // segments of elements
	MaxParams     = 64        // of a function or block
	MaxResults    = 16        // of a function or block
	MaxLocals     = 10_000    // of a function, parameters apart
	MaxBody       = 512 << 10 // bytes of a function
	MaxNesting    = 1_000     // blocks within each other
	MaxBlocks     = 4_000     // blocks, loops, ifs and operations on all of memory of a function; compilers take the square of it
	MaxBranches   = 8_192     // targets of a br_table, its default apart
	MaxPages      = 256       // of memory, 64 KiB each; a module that declares no maximum, or more, has this one
	MaxNameLength = 1 << 10   // bytes of the name of an import, export or custom section
)

// The limits on a running module.
const (
	MaxFrames = 1_000    // calls within each other
	MaxSlots  = 32 << 10 // parameters, locals, operands of all of them, and frameSlots a frame
)

const frameSlots = 4

// The weights of instructions.
const (
	weight        = 1
	weightHeavy   = 8 // division, remainder, square root, a call
	weightPage    = 4_096
	bytesPerFuel  = 16 // of a bulk operation
	bytesPerShift = 4  // bytesPerFuel as a shift
)
