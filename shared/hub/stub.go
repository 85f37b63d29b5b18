package hub

import "skerry/shared/space"

// Space is the server half of one space.
type Space struct{}

// NewSpace returns the server half of a space that nobody has asked for yet.
func NewSpace(config *Config, id space.ID) *Space { return &Space{} }

// Step takes one input and returns what to do. now is in milliseconds since 1970.
func (s *Space) Step(now uint64, in Input) Effects { return Effects{} }

// Idle reports that the shell may forget the space: no connection, push or request depends on it.
func (s *Space) Idle() bool { return false }

// Conn is the server half of one connection.
type Conn struct{}

// NewConn returns the server half of a connection from address. Its first input is Begin.
func NewConn(config *Config, id ConnID, address string) *Conn { return &Conn{} }

// Step takes one input and returns what to do. now is in milliseconds since 1970.
func (c *Conn) Step(now uint64, in ConnInput) ConnEffects { return ConnEffects{} }
