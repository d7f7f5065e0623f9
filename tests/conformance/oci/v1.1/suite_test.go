// The suite is a package of tests; importing it keeps in go.sum what `go test -c` of that package needs.
package suite

import _ "github.com/opencontainers/distribution-spec/conformance"
