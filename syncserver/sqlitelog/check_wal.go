package sqlitelog

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// A write-ahead log is read up to the first frame whose checksum is wrong, which is how a transaction looks that a loss of power cut short; what is
// behind that frame is as if it had never been. So damage there takes away whole commits, and nobody says so but this.

const doWAL = "if the machine lost its power while it wrote, this was never acknowledged and nothing is wrong: start the server; else restore a backup, or let clients bring back what they hold"

// checkWAL looks for commits behind a damaged frame. Beside a server it looks at nothing: there the log is written to.
func (c *checker) checkWAL() error {
	unlock, err := lockDir(c.config.Dir)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	f, err := os.Open(c.reader.log.path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	whole, behind, err := scanWAL(f)
	if err == nil && behind > 0 {
		c.tell("the write-ahead log", doWAL, "frame %d of it is damaged, and there are %d commits behind it, which are not read", whole+1, behind)
	}
	return err
}

// scanWAL returns how many frames of a write-ahead log are whole, and how many commits are written behind those.
func scanWAL(f io.Reader) (whole, behind int, err error) {
	header := make([]byte, 32)
	if _, err := io.ReadFull(f, header); err != nil {
		return 0, 0, ignoreEnd(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if header[3]&1 == 1 {
		order = binary.BigEndian
	}
	sum := walSum(order, [2]uint32{}, header[:24])
	good := sum == [2]uint32{binary.BigEndian.Uint32(header[24:]), binary.BigEndian.Uint32(header[28:])}
	size := int(binary.BigEndian.Uint32(header[8:]))
	if size < 512 || size > 1<<16 || size&(size-1) != 0 {
		size, good = 4096, false // ours
	}
	frame := make([]byte, 24+size)
	var salts [8]byte
	copy(salts[:], header[16:])
	for n := 0; ; n++ {
		if _, err := io.ReadFull(f, frame); err != nil {
			return whole, behind, ignoreEnd(err)
		}
		if n == 0 && !good {
			copy(salts[:], frame[8:]) // the header is what is damaged
		}
		if string(frame[8:16]) != string(salts[:]) {
			if good && whole == n && commitsWith(f, frame, salts) {
				return whole, behind + 1, nil
			}
			if good {
				return whole, behind, nil // of an earlier life of the file
			}
			continue
		}
		sum = walSum(order, walSum(order, sum, frame[:8]), frame[24:])
		if good = good && sum == [2]uint32{binary.BigEndian.Uint32(frame[16:]), binary.BigEndian.Uint32(frame[20:])}; good {
			whole = n + 1
		} else if binary.BigEndian.Uint32(frame[4:]) != 0 {
			behind++
		}
	}
}

// commitsWith reports whether there is a commit of this life behind a frame that is none.
func commitsWith(f io.Reader, frame []byte, salts [8]byte) bool {
	for {
		if _, err := io.ReadFull(f, frame); err != nil {
			return false
		}
		if string(frame[8:16]) == string(salts[:]) && binary.BigEndian.Uint32(frame[4:]) != 0 {
			return true
		}
	}
}

// walSum is SQLite's checksum of a write-ahead log, gone on with.
func walSum(order binary.ByteOrder, sum [2]uint32, b []byte) [2]uint32 {
	for ; len(b) >= 8; b = b[8:] {
		sum[0] += order.Uint32(b) + sum[1]
		sum[1] += order.Uint32(b[4:]) + sum[0]
	}
	return sum
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
