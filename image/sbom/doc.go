// Package sbom writes an image's software bill of materials as CycloneDX 1.6 in
// JSON, the form that vulnerability scanners and licence checkers read.
//
// # What a reader may rely on
//
// The document is made from what really went in, never from a list kept by hand:
// the build information in our programs, the files that the inventory lists, the pins
// that image/fetch verified, the control data inside the Debian packages, the texts of
// licences in the Go modules, the kernel's configuration, and what the package of llama.cpp says of itself. Every part of the
// inventory is in it with its hash. The scripts and settings of overlays/ are Runa's own
// text and are covered by the component that stands for Runa.
//
// The same inputs give the same bytes: everything is sorted, there is no time
// unless one is given, and the serial number is derived from the content.
//
// # What it must never do
//
// It must not guess. A licence that no input states is left out (one Go module
// names its own in prose only), and a part whose
// package can't be found is an error. It fetches nothing that the image was not built from.
//
// Two libraries write it, both of the formats' own makers: cyclonedx-go for the
// document and packageurl-go for package URLs, whose escapes differ by type.
package sbom
