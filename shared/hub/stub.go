package hub

// Conn is the server half of one connection.
type Conn struct{}

// NewConn returns the server half of a connection from address. Its first input is Begin.
func NewConn(config *Config, id ConnID, address string) *Conn { return &Conn{} }

// Step takes one input and returns what to do. now is in milliseconds since 1970.
func (c *Conn) Step(now uint64, in ConnInput) ConnEffects { return ConnEffects{} }
