package main

import (
	"context"
	"io"

	"github.com/waferkit/wafer/store/postgres"
)

// schema prints the SQL for databases in which the application's role may not
// create tables.
func schema(_ context.Context, e *env, args []string) error {
	f := e.flags("schema", "prints the SQL that makes or migrates a Postgres store, to be run in one transaction by the schema's owner",
		"wafer schema --schema wafer | psql --single-transaction -v ON_ERROR_STOP=1 shop")
	var name string
	var from int
	f.StringVar(&name, "schema", "wafer", "the schema's `name`")
	f.IntVar(&from, "from", 0, "the `version` that the schema has; 0: it is not there")
	if err := f.parse(args); err != nil {
		return err
	}
	text, err := postgres.SQLFrom(name, from)
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.stdout, text)
	return err
}
