package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Options say how to write an image.
type Options struct {
	Compress bool // clusters that become smaller by it are deflated
}

// deflateWindow is how far back deflate may refer: what QEMU's decoder promises.
const deflateWindow = 4096

// maximumSize keeps the L1 table within the 32 MiB QEMU accepts.
const maximumSize = int64(tableEntries) * clusterSize * (32 << 20 / 8)

// Write writes the first size bytes of raw, a whole number of sectors of 512
// bytes, to out as a qcow2 image and returns how long the image is. out must be
// empty. If raw is an *os.File its holes are passed over without reading them,
// and its offset is moved. The header is written last: what an interrupted Write
// leaves is no valid image.
func Write(ctx context.Context, out io.WriterAt, raw io.ReaderAt, size int64, options Options) (int64, error) {
	if size <= 0 || size%sectorSize != 0 || size > maximumSize {
		return 0, fmt.Errorf("write qcow2: disk of %d bytes: must be whole sectors of %d bytes, at least one, at most %d TiB", size, sectorSize, maximumSize>>40)
	}
	w := &writer{out: out, size: size, next: clusterSize, l2: map[int64][]uint64{}}
	if err := w.data(ctx, raw, options.Compress); err != nil {
		return 0, fmt.Errorf("write qcow2: %w", err)
	}
	if err := w.tables(); err != nil {
		return 0, fmt.Errorf("write qcow2: %w", err)
	}
	return w.next, nil
}

type writer struct {
	out       io.WriterAt
	size      int64
	next      int64              // first byte behind all clusters allocated
	free      int64              // where the next compressed cluster goes; on a cluster boundary: nowhere yet
	l2        map[int64][]uint64 // L2 tables by their index in L1
	refcounts []uint16           // of the file's clusters
}

// cluster is a piece of the disk on its way into the file.
type cluster struct {
	index    int64
	raw      []byte
	deflated []byte // nil: store raw
	err      error
}

// data writes all clusters that hold anything, in the order of the disk. A batch
// is read, deflated on all processors, and stored.
func (w *writer) data(ctx context.Context, raw io.ReaderAt, compress bool) error {
	workers := runtime.GOMAXPROCS(0)
	batch := make([]*cluster, 0, 8*workers)
	var deflaters []*deflater
	if compress {
		var err error
		if deflaters, err = newDeflaters(workers); err != nil {
			return err
		}
	}
	count := (w.size + clusterSize - 1) / clusterSize
	for index := int64(0); index < count; {
		batch = batch[:0]
		for ; index < count && len(batch) < cap(batch); index++ {
			if index = nextData(raw, index*clusterSize, w.size) / clusterSize; index >= count {
				break
			}
			c, err := readCluster(raw, index, w.size)
			if err != nil {
				return err
			}
			if c != nil {
				batch = append(batch, c)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		deflateAll(deflaters, batch)
		for _, c := range batch {
			if err := w.store(c); err != nil {
				return fmt.Errorf("cluster %d: %w", c.index, err)
			}
		}
	}
	return nil
}

// readCluster returns nil for a cluster of zeros. The last one of a disk is filled up with zeros.
func readCluster(raw io.ReaderAt, index, size int64) (*cluster, error) {
	data := make([]byte, clusterSize)
	length := min(clusterSize, size-index*clusterSize)
	if n, err := raw.ReadAt(data[:length], index*clusterSize); int64(n) < length {
		return nil, fmt.Errorf("read the raw image at byte %d: %w", index*clusterSize, err)
	}
	if bytes.Equal(data, zeros[:]) {
		return nil, nil
	}
	return &cluster{index: index, raw: data}, nil
}

var zeros [clusterSize]byte

// deflater is one worker's compressor, used again and again.
type deflater struct {
	out    bytes.Buffer
	writer *flate.Writer
}

func newDeflaters(count int) ([]*deflater, error) {
	list := make([]*deflater, count)
	for i := range list {
		list[i] = &deflater{}
		var err error
		if list[i].writer, err = flate.NewWriterWindow(&list[i].out, deflateWindow); err != nil {
			return nil, fmt.Errorf("deflate: %w", err)
		}
	}
	return list, nil
}

// deflateAll deflates the clusters of a batch that become smaller by it, each
// deflater every len(deflaters)th of them.
func deflateAll(deflaters []*deflater, batch []*cluster) {
	var group sync.WaitGroup
	for first, d := range deflaters {
		group.Go(func() {
			for i := first; i < len(batch); i += len(deflaters) {
				batch[i].deflated, batch[i].err = d.deflate(batch[i].raw)
			}
		})
	}
	group.Wait()
}

// deflate returns nil if that saves less than a sector.
func (d *deflater) deflate(raw []byte) ([]byte, error) {
	d.out.Reset()
	d.writer.Reset(&d.out)
	if _, err := d.writer.Write(raw); err != nil {
		return nil, err
	}
	if err := d.writer.Close(); err != nil {
		return nil, err
	}
	if d.out.Len() > clusterSize-sectorSize {
		return nil, nil
	}
	return bytes.Clone(d.out.Bytes()), nil
}

// store puts a cluster into the file and into its L2 table.
func (w *writer) store(c *cluster) error {
	if c.err != nil {
		return fmt.Errorf("deflate: %w", c.err)
	}
	table := w.l2[c.index/tableEntries]
	if table == nil {
		table = make([]uint64, tableEntries)
		w.l2[c.index/tableEntries] = table
	}
	entry := &table[c.index%tableEntries]
	if c.deflated == nil {
		offset := w.allocate(1)
		*entry = flagCopied | uint64(offset)
		return w.write(c.raw, offset)
	}
	offset := w.pack(int64(len(c.deflated)))
	// The offset is in bytes; the length counts the sectors touched behind the first.
	const lengthShift = 62 - (clusterBits - 8)
	last := offset + int64(len(c.deflated)) - 1
	*entry = flagCompressed | uint64(last/sectorSize-offset/sectorSize)<<lengthShift | uint64(offset)
	return w.write(c.deflated, offset)
}

// allocate takes clusters from the end of the file, each with one user.
func (w *writer) allocate(clusters int64) int64 {
	offset := w.next
	w.next += clusters * clusterSize
	for i := range clusters {
		*w.refcount(offset + i*clusterSize) = 1
	}
	return offset
}

// pack finds room for compressed bytes: behind the last ones if they fit into
// the rest of that cluster or go on into a new one that follows it directly.
func (w *writer) pack(length int64) int64 {
	end := (w.free + clusterSize - 1) / clusterSize * clusterSize
	if w.free == end || w.free+length > end && end != w.next {
		w.free, end = w.next, w.next
	}
	offset := w.free
	w.free += length
	if w.free > end {
		w.next += clusterSize
	}
	for at := offset / clusterSize * clusterSize; at < w.free; at += clusterSize {
		*w.refcount(at)++
	}
	return offset
}

func (w *writer) refcount(offset int64) *uint16 {
	index := offset / clusterSize
	for int64(len(w.refcounts)) <= index {
		w.refcounts = append(w.refcounts, 0)
	}
	return &w.refcounts[index]
}

func (w *writer) write(data []byte, offset int64) error {
	if _, err := w.out.WriteAt(data, offset); err != nil {
		return fmt.Errorf("write at byte %d: %w", offset, err)
	}
	return nil
}

// tables writes the L2 tables, L1, the refcounts and the header.
func (w *writer) tables() error {
	l1 := make([]uint64, (w.size+clusterSize*tableEntries-1)/(clusterSize*tableEntries))
	for i := range l1 {
		if table := w.l2[int64(i)]; table != nil {
			offset := w.allocate(1)
			l1[i] = flagCopied | uint64(offset)
			if err := w.write(words(table, 1), offset); err != nil {
				return err
			}
		}
	}
	l1Clusters := (int64(len(l1)) + tableEntries - 1) / tableEntries
	l1Offset := w.allocate(l1Clusters)
	if err := w.write(words(l1, l1Clusters), l1Offset); err != nil {
		return err
	}
	refcountOffset, refcountClusters, err := w.writeRefcounts()
	if err != nil {
		return err
	}
	return w.write(w.header(int64(len(l1)), l1Offset, refcountOffset, refcountClusters), 0)
}

// writeRefcounts writes the refcount table and its blocks, which count themselves too.
func (w *writer) writeRefcounts() (offset, clusters int64, err error) {
	*w.refcount(0) = 1
	used, blocks := w.next/clusterSize, int64(0)
	for blocks*refcountEntries < used+blocks+clusters {
		blocks++
		clusters = (blocks + tableEntries - 1) / tableEntries
	}
	offset = w.allocate(clusters)
	first := w.allocate(blocks)
	table := make([]uint64, blocks)
	for i := range table {
		table[i] = uint64(first + int64(i)*clusterSize)
	}
	if err := w.write(words(table, clusters), offset); err != nil {
		return 0, 0, err
	}
	counts := make([]byte, blocks*clusterSize)
	for i, count := range w.refcounts {
		binary.BigEndian.PutUint16(counts[2*i:], count)
	}
	return offset, clusters, w.write(counts, first)
}

func (w *writer) header(l1Entries, l1, refcounts, refcountClusters int64) []byte {
	big := binary.BigEndian
	h := make([]byte, clusterSize) // behind the header, eight zero bytes: no extension follows
	copy(h, magic)
	big.PutUint32(h[atVersion:], 3)
	big.PutUint32(h[atClusterBits:], clusterBits)
	big.PutUint64(h[atSize:], uint64(w.size))
	big.PutUint32(h[atL1Entries:], uint32(l1Entries))
	big.PutUint64(h[atL1:], uint64(l1))
	big.PutUint64(h[atRefcount:], uint64(refcounts))
	big.PutUint32(h[atRefcountLength:], uint32(refcountClusters))
	big.PutUint32(h[atRefcountOrder:], 4) // 1<<4 bits each
	big.PutUint32(h[atHeaderLength:], headerBytes)
	return h
}

// words is a table as it is stored, filled up to whole clusters.
func words(table []uint64, clusters int64) []byte {
	out := make([]byte, clusters*clusterSize)
	for i, word := range table {
		binary.BigEndian.PutUint64(out[8*i:], word)
	}
	return out
}
