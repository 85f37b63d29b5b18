//go:build !js

package jsengine

import _ "embed"

// Glue is the script that a worker runs before the Go program: it defines skerryModules.
//
//go:embed glue.js
var Glue string
