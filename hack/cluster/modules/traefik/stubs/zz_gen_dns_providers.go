// Package dns stands in for lego's list of DNS providers, which pulls in the clients of some 150 of them: a gateway that
// tests send requests through orders no certificates.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName knows none.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("this build has no DNS provider, so not %s either", name)
}
