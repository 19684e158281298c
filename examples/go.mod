module github.com/waferkit/wafer/examples

go 1.25.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/waferkit/wafer v0.0.0-00010101000000-000000000000
	golang.org/x/crypto v0.55.0
)

require (
	github.com/fxamacker/cbor/v2 v2.10.0 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace github.com/waferkit/wafer => ..
