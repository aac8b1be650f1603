// Checks an exported log with other people's code: golang.org/x/mod/sumdb/note opens its checkpoints,
// github.com/transparency-dev/merkle hashes and verifies. Nothing here knows vitalwire but the shape of the folder,
// which is C2SP tlog-tiles.
//
// Exit status: 0 accepted, 1 rejected (one line says why), 2 wrong usage.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// verifier is a note.Verifier of signature type 0x02: ECDSA P-256 over SHA-256, ASN.1 DER.
type verifier struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v verifier) Name() string    { return v.name }
func (v verifier) KeyHash() uint32 { return v.hash }
func (v verifier) Verify(message, signature []byte) bool {
	digest := sha256.Sum256(message)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

func newVerifier(name string, publicDER []byte) (verifier, error) {
	parsed, err := x509.ParsePKIXPublicKey(publicDER)
	if err != nil {
		return verifier{}, err
	}
	key, isECDSA := parsed.(*ecdsa.PublicKey)
	if !isECDSA || key.Curve != elliptic.P256() {
		return verifier{}, errors.New("the key is not of P-256")
	}
	digest := sha256.Sum256(publicDER)
	return verifier{name, binary.BigEndian.Uint32(digest[:]), key}, nil
}

type checkpoint struct {
	size uint64
	root []byte
}

// openCheckpoint verifies a signed note and reads the three lines of its text.
func openCheckpoint(file, origin string, publicDER []byte) (checkpoint, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return checkpoint{}, err
	}
	key, err := newVerifier(origin, publicDER)
	if err != nil {
		return checkpoint{}, err
	}
	opened, err := note.Open(message, note.VerifierList(key))
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint %s: %w", filepath.Base(file), err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("checkpoint %s: not the three lines of origin %s", filepath.Base(file), origin)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return checkpoint{}, fmt.Errorf("checkpoint %s: size %q", filepath.Base(file), lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return checkpoint{}, fmt.Errorf("checkpoint %s: root %q", filepath.Base(file), lines[2])
	}
	return checkpoint{size, root}, nil
}

// tree reads the tiles of a log of this size.
type tree struct {
	folder string
	size   uint64
	tiles  map[string][]byte
}

// tilePath is section "Merkle Tree" of tlog-tiles; of hashes there are `total` in this level.
func tilePath(level string, index, total uint64) (path string, width uint64) {
	path = fmt.Sprintf("%03d", index%1000)
	for rest := index / 1000; rest > 0; rest /= 1000 {
		path = fmt.Sprintf("x%03d/%s", rest%1000, path)
	}
	width = tileWidth
	if total < (index+1)*tileWidth {
		width = total % tileWidth
		path = fmt.Sprintf("%s.p/%d", path, width)
	}
	return filepath.Join("tile", level, filepath.FromSlash(path)), width
}

// tile gives the hashes of a tile, concatenated.
func (t *tree) tile(level uint, index uint64) ([]byte, error) {
	path, width := tilePath(strconv.FormatUint(uint64(level), 10), index, t.size>>(tileHeight*level))
	if known, has := t.tiles[path]; has {
		return known, nil
	}
	hashes, err := os.ReadFile(filepath.Join(t.folder, path))
	if err != nil {
		return nil, err
	}
	if uint64(len(hashes)) != width*sha256.Size {
		return nil, fmt.Errorf("%s: %d bytes for %d hashes", path, len(hashes), width)
	}
	t.tiles[path] = hashes
	return hashes, nil
}

// node computes a complete node of the tree from the tile that holds what is below it.
func (t *tree) node(id compact.NodeID) ([]byte, error) {
	tileLevel, heightInTile := id.Level/tileHeight, id.Level%tileHeight
	first := id.Index << heightInTile
	hashes, err := t.tile(tileLevel, first/tileWidth)
	if err != nil {
		return nil, err
	}
	begin, count := first%tileWidth*sha256.Size, uint64(1)<<heightInTile*sha256.Size
	if begin+count > uint64(len(hashes)) {
		return nil, fmt.Errorf("node %d/%d is not complete", id.Level, id.Index)
	}
	return foldComplete(hashes[begin : begin+count]), nil
}

// foldComplete is the root over a power of two of hashes.
func foldComplete(hashes []byte) []byte {
	if len(hashes) == sha256.Size {
		return hashes
	}
	middle := len(hashes) / 2
	return rfc6962.DefaultHasher.HashChildren(foldComplete(hashes[:middle]), foldComplete(hashes[middle:]))
}

// path collects the nodes of a proof from the tiles.
func (t *tree) path(nodes proof.Nodes) ([][]byte, error) {
	hashes := make([][]byte, 0, len(nodes.IDs))
	for _, id := range nodes.IDs {
		hash, err := t.node(id)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// entries are those of a bundle.
func (t *tree) entries(index uint64) ([][]byte, error) {
	path, width := tilePath("entries", index, t.size)
	content, err := os.ReadFile(filepath.Join(t.folder, path))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(content) > 0 {
		if len(content) < 2 || len(content)-2 < int(binary.BigEndian.Uint16(content)) {
			return nil, fmt.Errorf("%s: it is cut off", path)
		}
		end := 2 + int(binary.BigEndian.Uint16(content))
		entries, content = append(entries, content[2:end]), content[end:]
	}
	if uint64(len(entries)) != width {
		return nil, fmt.Errorf("%s: %d entries, not %d", path, len(entries), width)
	}
	return entries, nil
}

// checkEntries hashes every entry, compares it with its tile, and computes the root over all of them.
func (t *tree) checkEntries(root []byte) error {
	if t.size == 0 {
		return nil
	}
	ranges := &compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	grown := ranges.NewEmptyRange(0)
	for bundle := uint64(0); bundle*tileWidth < t.size; bundle++ {
		entries, err := t.entries(bundle)
		if err != nil {
			return err
		}
		for place, entry := range entries {
			index := bundle*tileWidth + uint64(place)
			leaf := rfc6962.DefaultHasher.HashLeaf(entry)
			inTile, err := t.node(compact.NewNodeID(0, index))
			if err != nil {
				return err
			}
			if !bytes.Equal(leaf, inTile) {
				return fmt.Errorf("entry %d is not the one of its tile", index)
			}
			if err := grown.Append(leaf, nil); err != nil {
				return err
			}
		}
	}
	computed, err := grown.GetRootHash(nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(computed, root) {
		return errors.New("the entries do not have the root of the checkpoint")
	}
	return nil
}

// checkUpperTiles compares each hash above the leaves with the full tile below it.
func (t *tree) checkUpperTiles() error {
	for level := uint(1); t.size>>(tileHeight*level) > 0; level++ {
		for index := uint64(0); index < t.size>>(tileHeight*level); index++ {
			below, err := t.tile(level-1, index)
			if err != nil {
				return err
			}
			above, err := t.node(compact.NewNodeID(level*tileHeight, index))
			if err != nil {
				return err
			}
			if !bytes.Equal(above, foldComplete(below)) {
				return fmt.Errorf("hash %d of tile level %d is not the root of the tile below", index, level)
			}
		}
	}
	return nil
}

// checkInclusion proves one entry from its bundle and the tiles alone.
func (t *tree) checkInclusion(index uint64, root []byte) error {
	entries, err := t.entries(index / tileWidth)
	if err != nil {
		return err
	}
	nodes, err := proof.Inclusion(index, t.size)
	if err != nil {
		return err
	}
	path, err := t.path(nodes)
	if err != nil {
		return err
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(entries[index%tileWidth])
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, t.size, leaf, path, root); err != nil {
		return fmt.Errorf("inclusion of entry %d: %w", index, err)
	}
	return nil
}

// checkConsistency proves that the log begins with all that an older checkpoint was over.
func (t *tree) checkConsistency(older, newer checkpoint) error {
	if older.size > newer.size {
		return fmt.Errorf("the log shrank: a kept checkpoint has size %d, this one %d", older.size, newer.size)
	}
	nodes, err := proof.Consistency(older.size, newer.size)
	if err != nil {
		return err
	}
	path, err := t.path(nodes)
	if err != nil {
		return err
	}
	err = proof.VerifyConsistency(rfc6962.DefaultHasher, older.size, newer.size, path, older.root, newer.root)
	if err != nil {
		return fmt.Errorf("consistency with the kept checkpoint of size %d: %w", older.size, err)
	}
	return nil
}

// proofs are what our own code made; each []byte is base64 in JSON.
type proofs struct {
	Inclusion []struct {
		Index, Size uint64
		Leaf, Root  []byte
		Path        [][]byte
	}
	Consistency []struct {
		OldSize, Size uint64
		OldRoot, Root []byte
		Path          [][]byte
	}
}

func checkProofs(file string) (int, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var given proofs
	if err := json.Unmarshal(content, &given); err != nil {
		return 0, err
	}
	for _, p := range given.Inclusion {
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, p.Size, p.Leaf, p.Path, p.Root); err != nil {
			return 0, fmt.Errorf("given inclusion of leaf %d in %d: %w", p.Index, p.Size, err)
		}
	}
	for _, p := range given.Consistency {
		err := proof.VerifyConsistency(rfc6962.DefaultHasher, p.OldSize, p.Size, p.Path, p.OldRoot, p.Root)
		if err != nil {
			return 0, fmt.Errorf("given consistency of %d and %d: %w", p.OldSize, p.Size, err)
		}
	}
	return len(given.Inclusion) + len(given.Consistency), nil
}

func judgeLog(folder, origin string, publicDER []byte, samples int, kept []string) (uint64, error) {
	newest, err := openCheckpoint(filepath.Join(folder, "checkpoint"), origin, publicDER)
	if err != nil {
		return 0, err
	}
	var older []checkpoint
	for _, file := range kept {
		opened, err := openCheckpoint(file, origin, publicDER)
		if err != nil {
			return 0, err
		}
		older = append(older, opened)
	}
	log := &tree{folder, newest.size, map[string][]byte{}}
	for _, each := range older {
		if err := log.checkConsistency(each, newest); err != nil {
			return 0, err
		}
	}
	if err := log.checkEntries(newest.root); err != nil {
		return 0, err
	}
	if err := log.checkUpperTiles(); err != nil {
		return 0, err
	}
	if newest.size == 0 {
		return 0, nil
	}
	chosen := rand.New(rand.NewSource(int64(newest.size)))
	for _, index := range append(chosen.Perm(int(newest.size))[:min(samples, newest.size)], 0, int(newest.size-1)) {
		if err := log.checkInclusion(uint64(index), newest.root); err != nil {
			return 0, err
		}
	}
	return newest.size, nil
}

func min(samples int, size uint64) uint64 {
	if uint64(samples) < size {
		return uint64(samples)
	}
	return size
}

func main() {
	folder := flag.String("log", "", "folder of the exported log")
	origin := flag.String("origin", "", "origin of its checkpoints")
	key := flag.String("key", "", "file of the public key, SubjectPublicKeyInfo in DER")
	samples := flag.Int("samples", 200, "entries whose inclusion is proved from the tiles")
	given := flag.String("proofs", "", "JSON file of proofs to verify")
	flag.Parse() // what follows the flags: files of checkpoints that were kept
	publicDER, err := os.ReadFile(*key)
	if err != nil || *folder == "" || *origin == "" || *samples < 0 {
		fmt.Fprintln(os.Stderr, "log_verifier: -log, -origin and -key are needed:", err)
		os.Exit(2)
	}
	size, err := judgeLog(*folder, *origin, publicDER, *samples, flag.Args())
	verified := 0
	if err == nil && *given != "" {
		verified, err = checkProofs(*given)
	}
	if err != nil {
		fmt.Println("rejected:", err)
		os.Exit(1)
	}
	fmt.Printf("accepted: %d entries, %d kept checkpoints, %d proofs\n", size, flag.NArg(), verified)
}
