// Package notes112 is what skerry module types makes of version 1.1.2 of module notes, which package moduletest has. Tests read and write by it as a
// program that was made with that version does.
//
// Stable: nothing; it follows the generator.
package notes112
