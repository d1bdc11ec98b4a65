package sbom

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/CycloneDX/cyclonedx-go"
)

// Compact returns the document on one line, for the image: it lies in memory there.
func Compact(bom *cyclonedx.BOM) ([]byte, error) { return encode(bom, false) }

// Indented returns the document for people.
func Indented(bom *cyclonedx.BOM) ([]byte, error) { return encode(bom, true) }

// encode gives bom the serial number that follows from its content, and writes it.
func encode(bom *cyclonedx.BOM, indent bool) ([]byte, error) {
	copied := *bom
	copied.SerialNumber = ""
	text, err := write(&copied, false)
	if err != nil {
		return nil, err
	}
	copied.SerialNumber = serialNumber(text)
	return write(&copied, indent)
}

func write(bom *cyclonedx.BOM, indent bool) ([]byte, error) {
	var out bytes.Buffer
	encoder := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(indent).SetEscapeHTML(false)
	if err := encoder.EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("write the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// serialNumber makes a UUID of version 8 (RFC 9562: bits of the maker's choice) from
// the content's hash, so that documents differ in it exactly if they differ.
func serialNumber(content []byte) string {
	u := sha256.Sum256(content)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
