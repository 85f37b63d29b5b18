package identity

import "strings"

// alphabet is base58btc's: without 0, O, I and l.
const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// encode58 writes bytes as one big number, and a 1 for each zero byte that it begins with.
func encode58(bytes string) string {
	zeros := len(bytes) - len(strings.TrimLeft(bytes, "\x00"))
	var digits []byte // the least first
	for _, b := range []byte(bytes[zeros:]) {
		carry := int(b)
		for i, digit := range digits {
			carry += int(digit) << 8
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		for ; carry > 0; carry /= 58 {
			digits = append(digits, byte(carry%58))
		}
	}
	text := make([]byte, 0, zeros+len(digits))
	for range zeros {
		text = append(text, alphabet[0])
	}
	for i := len(digits) - 1; i >= 0; i-- {
		text = append(text, alphabet[digits[i]])
	}
	return string(text)
}

// decode58 is the inverse of encode58. Every text of the alphabet stands for one sequence of bytes.
func decode58(text string) (bytes string, ok bool) {
	ones := len(text) - len(strings.TrimLeft(text, alphabet[:1]))
	var number []byte // the least first
	for i := ones; i < len(text); i++ {
		carry := strings.IndexByte(alphabet, text[i])
		if carry < 0 {
			return "", false
		}
		for j, b := range number {
			carry += int(b) * 58
			number[j] = byte(carry)
			carry >>= 8
		}
		for ; carry > 0; carry >>= 8 {
			number = append(number, byte(carry))
		}
	}
	out := make([]byte, ones, ones+len(number))
	for i := len(number) - 1; i >= 0; i-- {
		out = append(out, number[i])
	}
	return string(out), true
}
