package program

// why says less than it does natively, where modules are made.
func why(*Older, []Field) string { return "its lens leaves something to be guessed" }
