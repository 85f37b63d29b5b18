//go:build ignore

// Command codes prints the protocol's codes for TypeScript, from the table in package wire, which is the only one
// that people write. `npm run codes` keeps its output in src/codes.ts, and a test compares.
package main

import (
	"fmt"
	"maps"
	"slices"

	"skerry/shared/wire"
)

func main() {
	codes := wire.Codes()
	fmt.Println("// Made by `npm run codes` from package wire. Do not edit.")
	fmt.Println()
	fmt.Println("/** The name of each code by its number on the wire. Codes are append-only. */")
	fmt.Println("export const codes = {")
	for _, number := range slices.Sorted(maps.Keys(codes)) {
		fmt.Printf("  %d: %q,\n", number, codes[number])
	}
	fmt.Println("} as const;")
	fmt.Println()
	fmt.Printf("const ownModule = %d; // added to the numbers that a space's module refuses with\n", wire.CodeModuleOwn)
	fmt.Println()
	fmt.Println("/** The name of a code, as errors and verdicts carry it; `module_N` is a number that the space's module refused with. */")
	fmt.Println("export type Code = (typeof codes)[keyof typeof codes] | `module_${number}`;")
	fmt.Println()
	fmt.Println("/** Returns a code's name; `code_N` for one that this build does not know. */")
	fmt.Println("export function codeName(number: number): Code {")
	fmt.Println("  if (number > ownModule && number < 2 * ownModule) return `module_${number - ownModule}`;")
	fmt.Println("  return (codes as Record<number, Code>)[number] ?? (`code_${number}` as Code);")
	fmt.Println("}")
}
