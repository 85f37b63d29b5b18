package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// credentials are what a command is known by: the name of a key, or a file that has a token.
type credentials struct {
	name, keys, token string
}

func (f *credentials) flags(set *flag.FlagSet) {
	set.StringVar(&f.name, "identity", "", "`name` of the key to connect by; made when it is first used")
	set.StringVar(&f.keys, "keys", "", "`directory` of keys (default: skerry/keys in the user's configuration)")
	set.StringVar(&f.token, "token", "", "`file` with a token (JWT) to connect by, instead of a key")
}

// given reports whether somebody is named.
func (f *credentials) given() bool { return f.name != "" || f.token != "" }

// signer is somebody who can be proven. The zero signer is nobody.
type signer struct {
	identity string
	secret   ed25519.PrivateKey
	token    string
}

// signer returns who is named; a key that is not there is made.
func (f *credentials) signer() (signer, error) {
	switch {
	case f.name != "" && f.token != "":
		return signer{}, usagef("takes either --identity or --token")
	case f.token != "":
		return tokenSigner(f.token)
	case f.name == "":
		return signer{}, nil
	}
	path, err := f.path()
	if err != nil {
		return signer{}, err
	}
	secret, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, err = makeKey(path)
	}
	if err != nil {
		return signer{}, err
	}
	public, err := identity.New(identity.Ed25519, secret.Public().(ed25519.PublicKey))
	return signer{identity: public.String(), secret: secret}, err
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (f *credentials) path() (string, error) {
	if !keyName.MatchString(f.name) {
		return "", usagef("%q is no name of a key: want letters, digits, dots and dashes", f.name)
	}
	dir := f.keys
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return "", fmt.Errorf("find the keys: %w; name their directory by --keys", err)
		}
		dir = filepath.Join(config, "skerry", "keys")
	}
	return filepath.Join(dir, f.name+".pem"), nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(content); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if secret, ok := key.(ed25519.PrivateKey); ok && err == nil {
			return secret, nil
		}
	}
	return nil, fmt.Errorf("%s holds no Ed25519 key in PEM", path)
}

// makeKey makes a key; where somebody else makes it too, the first one's counts.
func makeKey(path string) (ed25519.PrivateKey, error) {
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	made, err := os.CreateTemp(filepath.Dir(path), "*.new") // nobody finds half a key
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	defer os.Remove(made.Name())
	err = pem.Encode(made, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, made.Sync(), made.Close()); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if err := os.Link(made.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return readKey(path)
}

// tokenSigner reads a token. Of what it says only the name is needed here; the server checks it.
func tokenSigner(path string) (signer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return signer{}, fmt.Errorf("--token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	var claims struct{ Iss, Sub string }
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		payload, failure := base64.RawURLEncoding.DecodeString(parts[1])
		if err = failure; err == nil {
			err = json.Unmarshal(payload, &claims)
		}
	}
	if len(parts) != 3 || err != nil || claims.Iss == "" || claims.Sub == "" {
		return signer{}, fmt.Errorf("--token %s is no token (JWT) with iss and sub", path)
	}
	return signer{identity: auth.SubjectIdentity(claims.Iss, claims.Sub), token: token}, nil
}

// proofs answers a challenge of a server that was dialled at an address.
func (s *signer) proofs(c *wire.Challenge, address string) []wire.Proof {
	switch {
	case s.token != "":
		return []wire.Proof{{Identity: s.identity, Proof: []byte(s.token)}}
	case s.identity == "":
		return nil
	}
	message := space.ProofMessage(c.Nonce, c.Server, hostOf(address))
	return []wire.Proof{{Identity: s.identity, Proof: ed25519.Sign(s.secret, message)}}
}

// genesisSignature signs a space, if a key makes it.
func (s *signer) genesisSignature(id space.ID) []byte {
	if s.secret == nil {
		return nil
	}
	return ed25519.Sign(s.secret, space.GenesisMessage(id))
}

// hostOf returns the host of an address as it is dialled: with its port unless that is the scheme's own.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" || u.Scheme == "wss" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// keyShow prints the identity of a key.
func keyShow(_ context.Context, c *console, args []string) error {
	set := c.flags("key")
	var f credentials
	set.StringVar(&f.keys, "keys", "", "`directory` of keys (default: skerry/keys in the user's configuration)")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs the name of a key")
	}
	f.name = set.Arg(0)
	path, err := f.path()
	if err != nil {
		return err
	}
	who, err := f.signer()
	if err != nil {
		return err
	}
	return c.print(struct {
		Identity string `json:"identity"`
		File     string `json:"file"`
	}{who.identity, path}, "%s", who.identity)
}
