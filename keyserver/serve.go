package keyserver

import (
	"log"
	"net/http"
	"strings"
	"time"
)

// NewHTTPServer is the server's end of HTTP, with a limit on everything that a peer can make it wait for. It is closed with Shutdown.
func NewHTTPServer(h http.Handler, tell func(line string)) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: handleLimit + 5*time.Second, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ErrorLog: log.New(lines(tell), "", 0),
	}
}

// lines is where net/http tells of handshakes that failed.
type lines func(line string)

func (l lines) Write(b []byte) (int, error) {
	l(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}
