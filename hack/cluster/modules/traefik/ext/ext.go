// Package ext stands in for a module that Traefik keeps in a folder of its own repository, which the module's zip lacks.
// There, too, both types are empty: they are where a fork of Traefik would put options of its own.
package ext

// HTTP extends the dynamic configuration of HTTP.
type HTTP struct{}

// Router extends a router's.
type Router struct{}
