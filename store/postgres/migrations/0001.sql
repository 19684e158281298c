-- Version 1. "@schema@" stands for the schema's quoted name.
--
-- A file that has been released never changes.
--
-- Unqualified names are PostgreSQL's own, here and in the functions. Otherwise a
-- role that may create operators in a schema of the search path could have them
-- run with the rights of the calling role.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE @schema@.migrations (
	version integer     PRIMARY KEY,
	at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The log has one row. Appending an entry locks it but does not change it: the
-- head is the position of the newest entry, so no row gets a new version at each
-- revocation.
CREATE TABLE @schema@.log (
	one      boolean PRIMARY KEY CHECK (one),
	id       uuid    NOT NULL,
	floor    bigint  NOT NULL,
	floor_id uuid,            -- of the entry that was there
	everyone bigint  NOT NULL -- the cutoff of everyone
) WITH (fillfactor = 50);

-- announced is what the nodes have announced. It is apart from the log, so that a
-- node that announces itself waits for no call that has locked the head.
CREATE TABLE @schema@.announced (
	one          boolean PRIMARY KEY CHECK (one),
	access       bigint  NOT NULL, -- the longest announced, in milliseconds
	absolute     bigint  NOT NULL,
	leeway       bigint  NOT NULL,
	staleness    bigint  NOT NULL,
	realm        text    COLLATE "C" NOT NULL,
	ring         uuid,
	ring_version bigint  NOT NULL
) WITH (fillfactor = 50);

-- A node counts its announcements from those of all: turn orders them whatever the
-- clock does.
CREATE TABLE @schema@.peers (
	node         uuid   PRIMARY KEY,
	turn         bigint NOT NULL,
	seen         bigint NOT NULL,
	instance     text   NOT NULL,
	settings     text   NOT NULL,
	ring         uuid,
	ring_version bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

CREATE TABLE @schema@.keys (
	one      boolean PRIMARY KEY CHECK (one),
	version  bigint  NOT NULL,
	document bytea
);

-- An entry is dropped as soon as the floor has reached it. The row of the newest is
-- kept even then, since it is the head: the table is never empty.
--
-- The cutoff of a name is the position of its newest entry. Both are dropped at the
-- same time, so there is no record of it besides.
CREATE TABLE @schema@.entries (
	position     bigint   PRIMARY KEY,
	previous     bigint   NOT NULL,
	time         bigint   NOT NULL,
	id           uuid     NOT NULL,
	session      uuid,
	kind         smallint NOT NULL,
	subject      text     COLLATE "C",
	name         bytea,
	ring         uuid,
	ring_version bigint,
	reason       text     NOT NULL,
	actor        text     NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.5);
CREATE INDEX entries_session ON @schema@.entries (session, kind, position) WHERE session IS NOT NULL;
CREATE INDEX entries_name ON @schema@.entries (name, position) WHERE name IS NOT NULL;
CREATE INDEX entries_id ON @schema@.entries (id) WHERE name IS NOT NULL;

-- A cutoff that moves changes no indexed column (HOT): a subject that is revoked
-- again and again leaves nothing behind in an index.
CREATE TABLE @schema@.subjects (
	subject  text   COLLATE "C" PRIMARY KEY,
	position bigint NOT NULL,
	time     bigint NOT NULL,
	due      bigint NOT NULL -- when housekeeping looks at it next
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX subjects_due ON @schema@.subjects (due);

-- A refresh changes no indexed column, and the pages have room, so the row's new
-- version stays on its page and no index is updated (HOT).
--
-- Only housekeeping walks an index that has the rows of ended families. In the
-- others, "NOT ended" keeps them out.
CREATE TABLE @schema@.families (
	id            uuid    PRIMARY KEY,
	birth         bigint  NOT NULL,
	oldest        bigint  NOT NULL, -- see eldest
	position      bigint  NOT NULL,
	last_commit   bigint  NOT NULL,
	generation    bigint  NOT NULL,
	started       bigint  NOT NULL, -- times are in milliseconds since 1970
	authenticated bigint  NOT NULL,
	issued        bigint  NOT NULL,
	idle          bigint  NOT NULL,
	absolute      bigint  NOT NULL,
	keep          bigint  NOT NULL, -- the row stays until then, whatever becomes of the family
	due           bigint  NOT NULL, -- when housekeeping looks at it next
	copy          integer NOT NULL,
	used          integer NOT NULL,
	native        boolean NOT NULL,
	ended         boolean NOT NULL,
	counts        boolean NOT NULL, -- the key is asked for
	key           bytea,
	first         uuid,
	successor     uuid,
	seal          bytea   NOT NULL,
	subject       text    COLLATE "C" NOT NULL,
	actor         text    COLLATE "C" NOT NULL,
	label         text    NOT NULL,
	methods       text    NOT NULL,
	level         text    NOT NULL,
	names         bytea[] -- null if there are none
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX families_due ON @schema@.families (due);
CREATE INDEX families_subject ON @schema@.families (subject, birth, started, id) WHERE NOT ended;
CREATE INDEX families_actor ON @schema@.families (actor, birth, started, id) WHERE NOT ended AND actor <> '';
CREATE INDEX families_birth ON @schema@.families (birth, started, id) WHERE NOT ended;

-- bearers has the names of the families that have not ended.
CREATE TABLE @schema@.bearers (
	name    bytea  NOT NULL,
	birth   bigint NOT NULL,
	started bigint NOT NULL,
	id      uuid   NOT NULL,
	PRIMARY KEY (name, birth, started, id)
) WITH (autovacuum_vacuum_scale_factor = 0.1);

CREATE TABLE @schema@.committed (
	id    uuid  PRIMARY KEY,
	value bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.1);
ALTER TABLE @schema@.committed ALTER COLUMN value SET STORAGE EXTERNAL; -- sealed values do not compress

-- The result of a call.
CREATE TYPE @schema@.snapshot AS (
	n             integer, -- index of the write in its group, from 0
	outcome       integer,
	entry         bigint,
	log           uuid,
	head          bigint,
	floor         bigint,
	now           bigint,
	state         integer,
	ended         integer,
	more          boolean,
	id            uuid,
	subject       text,
	label         text,
	native        boolean,
	names         bytea[],
	actor         text,
	methods       text,
	level         text,
	key           bytea,
	counts        boolean,
	first         uuid,
	successor     uuid,
	seal          bytea,
	birth         bigint,
	position      bigint,
	last_commit   bigint,
	generation    bigint,
	copy          integer,
	used          integer,
	started       bigint,
	authenticated bigint,
	issued        bigint,
	idle          bigint,
	absolute      bigint,
	value         bytea
);

-- clock is the engine's clock. It is not the time at which the transaction began,
-- which may have waited for a lock since.
CREATE FUNCTION @schema@.clock() RETURNS bigint LANGUAGE sql VOLATILE AS
$wafer$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000::numeric)::bigint $wafer$;

-- primary_only fails on a standby, which may be behind: a pool can connect to one
-- long after the engine was opened. It is in the WHERE of every read, which
-- evaluates it once, whether or not there are rows.
CREATE FUNCTION @schema@.primary_only() RETURNS boolean LANGUAGE plpgsql STABLE AS $wafer$
BEGIN
	IF pg_is_in_recovery() THEN
		RAISE EXCEPTION 'this server is a standby, which may not know the latest revocations'
			USING ERRCODE = 'read_only_sql_transaction';
	END IF;
	RETURN true;
END $wafer$;

-- begin_write is the beginning of every write.
CREATE FUNCTION @schema@.begin_write() RETURNS void LANGUAGE plpgsql AS $wafer$
BEGIN
	-- Each statement below must see what was committed before it.
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'wafer writes in READ COMMITTED, not %', current_setting('transaction_isolation')
			USING ERRCODE = 'invalid_transaction_state';
	END IF;
	-- It is set for this transaction alone: behind a pooler others share the
	-- session.
	IF current_setting('synchronous_commit') = 'off' THEN
		PERFORM set_config('synchronous_commit', 'on', true);
	END IF;
END $wafer$;

-- bound_hold makes the server give up a connection that is cut off from the network
-- while its transaction holds a lock that others wait for. That must happen soon,
-- and not after the default of hours.
CREATE FUNCTION @schema@.bound_hold() RETURNS void LANGUAGE plpgsql AS $wafer$
BEGIN
	PERFORM set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '2', true),
		set_config('tcp_keepalives_count', '3', true), set_config('tcp_user_timeout', '10000', true);
END $wafer$;

-- lock_head locks the head, under which positions are assigned, and returns the
-- time. A birth is checked in a later statement, which therefore sees every
-- revocation that the lock has waited for.
CREATE FUNCTION @schema@.lock_head() RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	PERFORM @schema@.begin_write();
	PERFORM @schema@.bound_hold();
	PERFORM 1 FROM @schema@.log WHERE one FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	RETURN @schema@.clock();
END $wafer$;

CREATE FUNCTION @schema@.head() RETURNS bigint LANGUAGE sql VOLATILE AS
$wafer$ SELECT position FROM @schema@.entries ORDER BY position DESC LIMIT 1 $wafer$;

-- next returns the position of a new entry.
CREATE FUNCTION @schema@.next(above bigint, now bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$wafer$ SELECT greatest(@schema@.head() + 1, above + 1, now * 1000) $wafer$;

-- room reports whether n more entries can have positions of 53 bits.
CREATE FUNCTION @schema@.room(above bigint, now bigint, n integer) RETURNS boolean LANGUAGE sql VOLATILE AS
$wafer$ SELECT n = 0 OR @schema@.next(above, now) + n - 1 <= 9007199254740991 $wafer$;

-- near reports whether above is at most a day beyond the head or the clock. The
-- caller has locked the head.
CREATE FUNCTION @schema@.near(above bigint, now bigint) RETURNS boolean LANGUAGE sql VOLATILE AS
$wafer$ SELECT above <= greatest(@schema@.head(), now * 1000) + 86400000000 $wafer$;

-- look returns one family, the log and the clock as of one moment.
CREATE FUNCTION @schema@.look(family uuid, outcome integer, entry bigint, at bigint) RETURNS @schema@.snapshot
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan AS $wafer$
DECLARE
	s @schema@.snapshot;
BEGIN
	SELECT 0, look.outcome, look.entry, l.id, (SELECT e.position FROM @schema@.entries e ORDER BY e.position DESC LIMIT 1), l.floor,
		coalesce(look.at, @schema@.clock()),
		CASE WHEN f.id IS NULL THEN 0 WHEN f.ended THEN 1
			WHEN f.birth < greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject),
				CASE WHEN f.actor <> '' THEN (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor) END) THEN 2 ELSE 3 END,
		0, false, f.id, f.subject, f.label, f.native, f.names, f.actor, f.methods, f.level, f.key, f.counts, f.first, f.successor, f.seal,
		f.birth, f.position, f.last_commit, f.generation, f.copy, f.used, f.started, f.authenticated, f.issued, f.idle, f.absolute,
		CASE WHEN f.last_commit <> 0 THEN (SELECT v.value FROM @schema@.committed v WHERE v.id = f.id) END
	INTO s
	FROM @schema@.log l LEFT JOIN @schema@.families f ON f.id = look.family
	WHERE l.one;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	RETURN s;
END $wafer$;

-- eldest returns a birth below which no family of a subject lives, or null if none
-- lives at all: each new family remembers how old the subject's others were when it
-- was made, and nothing comes back to life. Where an index is walked from there, it
-- is not walked over what ended before: until the next VACUUM, or for as long as
-- somebody has a transaction open, it has entries of that still.
CREATE FUNCTION @schema@.eldest(of_subject text, cut bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $wafer$
BEGIN
	RETURN (SELECT f.oldest FROM @schema@.families f WHERE f.subject = of_subject AND NOT f.ended AND f.birth >= cut ORDER BY f.birth DESC, f.started DESC, f.id DESC LIMIT 1);
END $wafer$;

-- list returns the rows of a subject's families, or of everybody's if the subject is
-- empty, that were born before a place, the last one first: at most one more than a
-- call looks at, and one after the most that are asked for. Those that cannot be
-- refreshed are in state 2. If there are none, it returns one row without a family.
-- It is a function so that the indexes of what has not
-- ended are certain to be used, in their order. The caller's snapshot serves all of
-- it.
CREATE FUNCTION @schema@.list(of_subject text, before bigint, before_started bigint, before_id uuid, most integer) RETURNS SETOF @schema@.snapshot
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $wafer$
DECLARE
	now      bigint := @schema@.clock();
	l        @schema@.log;
	cutoff   bigint;
BEGIN
	SELECT * INTO l FROM @schema@.log t WHERE t.one;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	-- What is below the cutoff is dead, and so is all that comes after it.
	cutoff := greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = of_subject));
	IF of_subject <> '' THEN
		cutoff := greatest(cutoff, @schema@.eldest(of_subject, cutoff));
	END IF;
	RETURN QUERY
	SELECT 0, 0, 0::bigint, l.id, 0::bigint, l.floor, now, CASE WHEN w.lives THEN 3 ELSE 2 END,
		0, false, w.id, w.subject, w.label, w.native, w.names, w.actor, w.methods, w.level, w.key, w.counts, w.first, w.successor, w.seal,
		w.birth, w.position, w.last_commit, w.generation, w.copy, w.used, w.started, w.authenticated, w.issued, w.idle, w.absolute, NULL::bytea
	FROM (
		SELECT r.*, count(*) FILTER (WHERE r.lives) OVER (ORDER BY r.birth DESC, r.started DESC, r.id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS living
		FROM (
			(SELECT f.*, f.issued + f.idle > now AND greatest(f.started, f.authenticated) + f.absolute > now
				AND (f.actor = '' OR f.birth >= coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor), 0)) AS lives
			FROM @schema@.families f
			WHERE of_subject <> '' AND f.subject = of_subject AND NOT f.ended AND f.birth >= cutoff AND (f.birth, f.started, f.id) < (before, before_started, before_id)
			ORDER BY f.birth DESC, f.started DESC, f.id DESC LIMIT 1001)
			UNION ALL
			(SELECT f.*, f.issued + f.idle > now AND greatest(f.started, f.authenticated) + f.absolute > now
				AND f.birth >= coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject), 0)
				AND (f.actor = '' OR f.birth >= coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor), 0)) AS lives
			FROM @schema@.families f
			WHERE of_subject = '' AND NOT f.ended AND f.birth >= cutoff AND (f.birth, f.started, f.id) < (before, before_started, before_id)
			ORDER BY f.birth DESC, f.started DESC, f.id DESC LIMIT 1001)
		) r
	) w
	WHERE w.living - w.lives::integer <= most
	ORDER BY w.birth DESC, w.started DESC, w.id DESC;
	IF NOT FOUND THEN
		RETURN NEXT @schema@.look(NULL, 0, 0, now);
	END IF;
END $wafer$;

-- The functions below are for callers that have locked the head, so that no cutoff
-- rises meanwhile.

-- cutoff returns the position below which a family is cut off.
CREATE FUNCTION @schema@.cutoff(of_subject text, of_actor text) RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	RETURN (SELECT greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = of_subject),
			CASE WHEN of_actor <> '' THEN (SELECT c.position FROM @schema@.subjects c WHERE c.subject = of_actor) END)
		FROM @schema@.log l WHERE l.one);
END $wafer$;

-- name_cutoff returns the highest cutoff of the names, or 0.
CREATE FUNCTION @schema@.name_cutoff(names bytea[]) RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	RETURN CASE WHEN names IS NULL THEN 0 ELSE
		(SELECT coalesce(max((SELECT e.position FROM @schema@.entries e WHERE e.name = n AND e.position > l.floor ORDER BY e.position DESC LIMIT 1)), 0)
			FROM unnest(names) n CROSS JOIN @schema@.log l WHERE l.one) END;
END $wafer$;

-- lock_family returns a family and locks its row.
CREATE FUNCTION @schema@.lock_family(family uuid) RETURNS @schema@.families LANGUAGE plpgsql AS $wafer$
DECLARE
	f @schema@.families;
BEGIN
	SELECT * INTO f FROM @schema@.families t WHERE t.id = family FOR NO KEY UPDATE;
	RETURN f;
END $wafer$;

-- alive reports whether a family is alive, and lives whether it is also within its
-- limits at the time now.
CREATE FUNCTION @schema@.alive(f @schema@.families) RETURNS boolean LANGUAGE plpgsql AS $wafer$
BEGIN
	RETURN f.id IS NOT NULL AND NOT f.ended AND f.birth >= @schema@.cutoff(f.subject, f.actor);
END $wafer$;

CREATE FUNCTION @schema@.lives(f @schema@.families, now bigint) RETURNS boolean LANGUAGE plpgsql AS $wafer$
BEGIN
	RETURN @schema@.alive(f) AND f.issued + f.idle > now AND greatest(f.started, f.authenticated) + f.absolute > now;
END $wafer$;

-- ending returns the position of the entry that ends a session, or null if the log
-- has none.
CREATE FUNCTION @schema@.ending(family uuid) RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	RETURN (SELECT e.position FROM @schema@.entries e WHERE e.session = family AND e.kind = 3
		AND e.position > (SELECT l.floor FROM @schema@.log l WHERE l.one) ORDER BY e.position DESC LIMIT 1);
END $wafer$;

-- append adds an entry and returns its position.
CREATE FUNCTION @schema@.append(
	kind integer, session uuid, subject text, name bytea, id uuid, ring uuid, ring_version bigint,
	reason text, actor text, above bigint, now bigint, tell boolean
) RETURNS bigint LANGUAGE plpgsql AS $wafer$
#variable_conflict use_variable
DECLARE
	head bigint := @schema@.head();
	p    bigint := greatest(head + 1, above + 1, now * 1000);
BEGIN
	INSERT INTO @schema@.entries (position, previous, time, id, session, kind, subject, name, ring, ring_version, reason, actor)
	VALUES (p, head, now, coalesce(id, gen_random_uuid()), session, kind, subject, name, ring, ring_version, reason, actor);
	IF kind = 1 THEN
		UPDATE @schema@.log l SET everyone = p WHERE l.one;
	ELSIF kind = 2 THEN
		INSERT INTO @schema@.subjects AS c (subject, position, time, due)
		SELECT subject, p, now, now + greatest(a.absolute, a.access) + a.leeway FROM @schema@.announced a WHERE a.one
		ON CONFLICT ON CONSTRAINT subjects_pkey DO UPDATE SET position = excluded.position, time = excluded.time;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'the log is gone; restore it from a backup';
		END IF;
	END IF;
	IF tell THEN
		PERFORM pg_notify('wafer', @name@); -- one notice a transaction, for any number of entries
	END IF;
	RETURN p;
END $wafer$;

-- finish ends a family, if it is present, and appends its entry.
CREATE FUNCTION @schema@.finish(family uuid, reason text, actor text, above bigint, now bigint, tell boolean)
RETURNS bigint LANGUAGE plpgsql AS $wafer$
DECLARE
	born  bigint;
	since bigint;
	borne bytea[];
BEGIN
	UPDATE @schema@.families f SET ended = true WHERE f.id = family AND NOT f.ended RETURNING f.birth, f.started, f.names INTO born, since, borne;
	IF borne IS NOT NULL THEN
		DELETE FROM @schema@.bearers b WHERE b.name = ANY (borne) AND b.birth = born AND b.started = since AND b.id = family;
	END IF;
	RETURN @schema@.append(3, family, NULL, NULL, NULL, NULL, NULL, reason, actor, above, now, tell);
END $wafer$;

-- bury removes families that time or a cutoff has killed, or ends those whose ids
-- must stay known. It passes over one that was refreshed since the caller met it.
CREATE FUNCTION @schema@.bury(dead uuid[], now bigint) RETURNS void LANGUAGE plpgsql AS $wafer$
DECLARE
	gone uuid[];
	kept uuid[];
BEGIN
	IF cardinality(dead) = 0 THEN
		RETURN;
	END IF;
	SELECT coalesce(array_agg(t.id) FILTER (WHERE t.keep < now), '{}'), coalesce(array_agg(t.id) FILTER (WHERE t.keep >= now), '{}') INTO gone, kept
	FROM (
		SELECT f.id, f.keep FROM @schema@.families f
		WHERE f.id = ANY (dead) AND NOT f.ended AND (f.issued + f.idle <= now OR greatest(f.started, f.authenticated) + f.absolute <= now
			OR f.birth < (SELECT l.everyone FROM @schema@.log l WHERE l.one)
			OR f.birth < (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject)
			OR f.actor <> '' AND f.birth < (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor))
		FOR UPDATE
	) t;
	DELETE FROM @schema@.bearers b USING @schema@.families f
	WHERE f.id = ANY (gone || kept) AND b.name = ANY (f.names) AND b.birth = f.birth AND b.started = f.started AND b.id = f.id;
	UPDATE @schema@.families f SET ended = true WHERE f.id = ANY (kept);
	DELETE FROM @schema@.committed c WHERE c.id = ANY (gone);
	DELETE FROM @schema@.families f WHERE f.id = ANY (gone);
END $wafer$;

CREATE FUNCTION @schema@.create_family(
	family uuid, of_subject text, of_label text, is_native boolean, of_names bytea[], of_actor text, of_methods text, of_level text,
	of_key bytea, of_seal bytea, idle_limit bigint, absolute_limit bigint, starts bigint, authenticates bigint, leeway bigint, known bigint,
	not_before bigint, ends uuid[], renews uuid, basis bigint, verified bytea, proven bytea, again_at bigint, again_methods text, again_level text,
	most integer, end_oldest boolean, kept bytea, above bigint, reason text, by text, tell boolean
) RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $wafer$
DECLARE
	now      bigint := @schema@.lock_head();
	old      @schema@.families;
	new      @schema@.families;
	s        @schema@.snapshot;
	cut      bigint;
	one      uuid;
	met      record;
	alive    integer := 1; -- the new one
	dying    uuid[] := '{}';
	low      bigint;
	lowest   bigint;
	whole    boolean := true;
	excess   uuid[] := '{}';
	dead     uuid[] := '{}';
	again    boolean := false;
	appended bigint := 0;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 102, 0, now);
	END IF;
	IF EXISTS (SELECT FROM @schema@.families f WHERE f.id = family) OR @schema@.ending(family) IS NOT NULL THEN
		RETURN @schema@.look(family, 5, 0, now); -- taken
	END IF;
	new.id := family; new.subject := of_subject; new.native := is_native; new.seal := of_seal; new.generation := 1;
	new.copy := 0; new.used := 0; new.last_commit := 0; new.ended := false; new.issued := now; new.keep := now + known;
	IF renews IS NULL THEN
		new.label := of_label; new.names := of_names; new.actor := of_actor; new.methods := of_methods; new.level := of_level;
		new.key := of_key; new.counts := of_key IS NOT NULL; new.idle := idle_limit; new.absolute := absolute_limit;
		new.started := coalesce(starts, now); new.authenticated := coalesce(authenticates, new.started);
		kept := NULL;
	ELSE
		old := @schema@.lock_family(renews);
		IF NOT @schema@.lives(old, now) OR old.subject <> of_subject OR old.native <> is_native OR old.counts AND old.key IS DISTINCT FROM proven THEN
			RETURN @schema@.look(renews, 0, 0, now);
		END IF;
		IF old.birth < @schema@.name_cutoff(old.names) THEN
			s := @schema@.look(renews, 0, 0, now);
			s.state := 1; -- a name of it was revoked
			RETURN s;
		END IF;
		IF old.seal <> verified THEN
			RETURN @schema@.look(renews, 7, 0, now); -- changed
		END IF;
		IF basis < old.last_commit THEN
			RETURN @schema@.look(renews, 2, 0, now); -- behind
		END IF;
		new.label := old.label; new.names := old.names; new.actor := old.actor; new.methods := old.methods; new.level := old.level;
		new.key := old.key; new.counts := old.counts; new.idle := old.idle; new.absolute := old.absolute;
		new.started := old.started; new.authenticated := old.authenticated;
		IF again_at IS NOT NULL THEN
			new.authenticated := again_at; new.methods := again_methods; new.level := again_level;
		END IF;
		IF old.key IS NOT NULL THEN
			new.first := coalesce(old.first, old.id);
		END IF;
		IF old.last_commit = 0 THEN
			kept := NULL;
		END IF;
		new.keep := now; -- for no longer than it lives
		dying := ARRAY[renews];
	END IF;
	IF not_before <> 0 AND not_before < greatest(@schema@.cutoff(new.subject, new.actor), @schema@.name_cutoff(new.names), (SELECT l.floor FROM @schema@.log l WHERE l.one)) THEN
		RETURN @schema@.look(NULL, 3, 0, now); -- early
	END IF;
	IF renews IS NULL AND starts IS NOT NULL AND (abs(starts - now) > leeway OR new.authenticated > now + leeway)
		OR renews IS NOT NULL AND again_at IS NOT NULL AND abs(again_at - now) > leeway THEN
		RETURN @schema@.look(NULL, 6, 0, now); -- off the clock
	END IF;
	FOREACH one IN ARRAY ends LOOP
		old := @schema@.lock_family(one);
		-- A family past its limits is ended as well.
		IF one <> ALL (dying) AND (@schema@.alive(old) OR old.id IS NULL AND @schema@.ending(one) IS NULL) THEN
			dying := dying || one;
		END IF;
	END LOOP;
	cut := @schema@.cutoff(of_subject, '');
	low := @schema@.eldest(of_subject, cut);
	IF low IS NOT NULL THEN
		FOR met IN
			SELECT f.id, f.birth, f.issued + f.idle > now AND greatest(f.started, f.authenticated) + f.absolute > now
				AND (f.actor = '' OR f.birth >= coalesce((SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor), 0)) AS lives
			FROM @schema@.families f WHERE f.subject = of_subject AND NOT f.ended AND f.birth >= greatest(cut, low) ORDER BY f.birth DESC, f.started DESC, f.id DESC
		LOOP
			-- Without a limit, a few are looked at, for the sake of oldest alone.
			again := most > 0 AND (cardinality(dead) = 1000 OR cardinality(excess) = 998);
			whole := NOT again AND (most > 0 OR alive < 10);
			EXIT WHEN NOT whole;
			CONTINUE WHEN met.id = ANY (dying);
			IF NOT met.lives AND most > 0 THEN
				dead := dead || met.id;
				CONTINUE;
			END IF;
			alive := alive + 1;
			IF alive > most AND most > 0 THEN
				excess := excess || met.id;
				EXIT WHEN NOT end_oldest;
			ELSE
				lowest := met.birth;
			END IF;
		END LOOP;
		PERFORM @schema@.bury(dead, now);
		IF cardinality(excess) > 0 AND NOT end_oldest THEN
			RETURN @schema@.look(NULL, 4, 0, now); -- full
		END IF;
		IF again THEN
			dying := '{}'; -- those that the family replaces end with the last call
		END IF;
		dying := dying || excess;
	END IF;
	IF NOT @schema@.room(above, now, cardinality(dying)) THEN
		RETURN @schema@.look(NULL, 101, 0, now);
	END IF;
	FOREACH one IN ARRAY dying LOOP
		appended := @schema@.finish(one, reason, by, above, now, tell);
	END LOOP;
	IF again THEN
		RETURN @schema@.look(NULL, 8, 0, now);
	END IF;
	new.birth := @schema@.head();
	new.position := new.birth;
	new.oldest := CASE WHEN whole AND cardinality(dead) = 0 THEN coalesce(lowest, new.birth) ELSE low END;
	new.due := least(new.issued + new.idle, greatest(new.started, new.authenticated) + new.absolute);
	IF kept IS NOT NULL THEN
		new.last_commit := new.birth;
		INSERT INTO @schema@.committed (id, value) VALUES (family, kept);
	END IF;
	INSERT INTO @schema@.families SELECT new.*;
	IF new.names IS NOT NULL THEN
		INSERT INTO @schema@.bearers SELECT n, new.birth, new.started, family FROM unnest(new.names) n;
	END IF;
	IF new.first IS NOT NULL THEN
		UPDATE @schema@.families f SET successor = family, keep = greatest(f.keep, greatest(new.started, new.authenticated) + new.absolute) WHERE f.id = new.first;
	END IF;
	RETURN @schema@.look(family, 1, appended, now);
END $wafer$;

-- bind gives a family its key. It appends nothing, but it shares transactions with
-- calls that do.
CREATE FUNCTION @schema@.bind(family uuid, of_key bytea, verified bytea, of_seal bytea, asked boolean) RETURNS @schema@.snapshot
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now bigint := @schema@.lock_head();
	f   @schema@.families := @schema@.lock_family(family);
BEGIN
	IF NOT @schema@.lives(f, now) THEN
		RETURN @schema@.look(family, 0, 0, now);
	END IF;
	IF f.key = of_key THEN
		IF f.counts OR NOT asked THEN
			RETURN @schema@.look(family, 0, 0, now);
		END IF;
		UPDATE @schema@.families t SET counts = true WHERE t.id = family;
		RETURN @schema@.look(family, 1, 0, now);
	END IF;
	IF f.key IS NOT NULL THEN
		RETURN @schema@.look(family, 0, 0, now);
	END IF;
	IF f.seal <> verified THEN
		RETURN @schema@.look(family, 7, 0, now); -- changed
	END IF;
	UPDATE @schema@.families t SET key = of_key, seal = of_seal, counts = asked WHERE t.id = family;
	RETURN @schema@.look(family, 1, 0, now);
END $wafer$;

-- refresh does one thing to each family, by the kind of the request: 1 makes the
-- next generation, 2 makes a copy in place of a lost answer, and 3 raises the
-- position alone. It does not lock the head: it reads the log in the same snapshot in
-- which it checks the births, so a later revocation of a family has a position above
-- the one that refresh writes. An earlier statement locks the rows, so that they
-- cannot change under that snapshot: as they are judged, they are written.
--
-- It never waits for one row while it holds another: the outcome for a locked row
-- is 100. Only with wait, which is for a single family, does it wait for the row.
CREATE FUNCTION @schema@.refresh(
	ids uuid[], kinds integer[], generations bigint[], copies integer[], natives boolean[], bases bigint[],
	ages bigint[], lags integer[], skews bigint[], keys bytea[], wait boolean
) RETURNS SETOF @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	held uuid[];
	now  bigint;
BEGIN
	PERFORM @schema@.begin_write();
	IF wait THEN
		SELECT array_agg(t.id) INTO held FROM (SELECT f.id FROM @schema@.families f WHERE f.id = ids[1] FOR NO KEY UPDATE) t;
	ELSE
		SELECT array_agg(t.id) INTO held FROM (SELECT f.id FROM @schema@.families f WHERE f.id = ANY (ids) FOR NO KEY UPDATE SKIP LOCKED) t;
	END IF;
	now := @schema@.clock();
	RETURN QUERY
	WITH log AS MATERIALIZED (
		SELECT l.id, l.everyone, l.floor, (SELECT e.position FROM @schema@.entries e ORDER BY e.position DESC LIMIT 1) AS head
		FROM @schema@.log l WHERE l.one
	), judged AS MATERIALIZED (
		SELECT a.n, a.kind, a.copy AS presented, l.id AS log, l.head, l.floor,
			CASE WHEN f.id IS NULL THEN 0 WHEN f.ended THEN 1 WHEN f.birth < c.cutoff THEN 2 ELSE 3 END AS state,
			CASE WHEN f.id IS NULL THEN 0
				WHEN held IS NULL OR f.id <> ALL (held) THEN 100
				WHEN f.ended OR f.birth < c.cutoff OR f.issued + f.idle <= now OR greatest(f.started, f.authenticated) + f.absolute <= now
					OR f.native <> a.native OR f.counts AND f.key IS DISTINCT FROM a.key
					OR NOT CASE a.kind
						WHEN 1 THEN f.generation = a.generation AND f.copy >= a.copy AND (c.long_ago OR a.lag > 0 AND f.copy - a.copy >= a.lag)
						WHEN 2 THEN f.generation = a.generation + 1 AND f.used = a.copy AND f.copy < 4095 AND c.long_ago
						ELSE f.generation = a.generation END THEN 0
				WHEN f.last_commit > a.basis THEN 2
				ELSE 1 END AS outcome,
			f.counts OR coalesce(f.key = a.key, false) AS proven,
			f.id, f.subject, f.label, f.native, f.names, f.actor, f.methods, f.level, f.key, f.counts, f.first, f.successor, f.seal,
			f.birth, f.position, f.last_commit, f.generation, f.copy, f.used, f.started, f.authenticated, f.issued, f.idle, f.absolute
		FROM unnest(ids, kinds, generations, copies, natives, bases, ages, lags, skews, keys) WITH ORDINALITY
			AS a (id, kind, generation, copy, native, basis, age, lag, skew, key, n)
		CROSS JOIN log l
		LEFT JOIN @schema@.families f ON f.id = a.id
		CROSS JOIN LATERAL (
			SELECT greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject),
					CASE WHEN f.actor <> '' THEN (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.actor) END) AS cutoff,
				-- An issue time far ahead is from before the clock was set back.
				now - f.issued >= a.age OR f.issued - now > a.skew AS long_ago
		) c
	), written AS (
		UPDATE @schema@.families f
		SET generation = f.generation + CASE j.kind WHEN 1 THEN 1 ELSE 0 END,
			copy = CASE j.kind WHEN 1 THEN 0 WHEN 2 THEN f.copy + 1 ELSE f.copy END,
			used = CASE j.kind WHEN 1 THEN j.presented ELSE f.used END,
			issued = CASE j.kind WHEN 3 THEN f.issued ELSE now END,
			position = greatest(f.position, j.head),
			counts = j.proven
		FROM judged j
		WHERE f.id = j.id AND j.outcome = 1
		RETURNING j.n, f.position, f.generation, f.copy, f.used, f.issued, f.counts
	)
	SELECT j.n::integer - 1, j.outcome, 0::bigint, j.log, j.head, j.floor, now, j.state,
		0, false, j.id, j.subject, j.label, j.native, j.names, j.actor, j.methods, j.level, j.key, coalesce(w.counts, j.counts), j.first, j.successor, j.seal,
		j.birth, coalesce(w.position, j.position), j.last_commit, coalesce(w.generation, j.generation), coalesce(w.copy, j.copy), coalesce(w.used, j.used),
		j.started, j.authenticated, coalesce(w.issued, j.issued), j.idle, j.absolute,
		CASE WHEN j.last_commit <> 0 THEN (SELECT v.value FROM @schema@.committed v WHERE v.id = j.id) END
	FROM judged j LEFT JOIN written w ON w.n = j.n;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
END $wafer$;

CREATE FUNCTION @schema@.commit_value(family uuid, basis bigint, proven bytea, kept bytea, above bigint, actor text, tell boolean)
RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now bigint := @schema@.lock_head();
	f   @schema@.families := @schema@.lock_family(family);
	p   bigint;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 102, 0, now);
	END IF;
	IF NOT @schema@.lives(f, now) OR f.counts AND f.key IS DISTINCT FROM proven THEN
		RETURN @schema@.look(family, 0, 0, now);
	END IF;
	IF basis < f.last_commit THEN
		RETURN @schema@.look(family, 2, 0, now); -- behind
	END IF;
	IF NOT @schema@.room(above, now, 1) THEN
		RETURN @schema@.look(NULL, 101, 0, now);
	END IF;
	p := @schema@.append(4, family, NULL, NULL, NULL, NULL, NULL, 'commit', actor, above, now, tell);
	UPDATE @schema@.families t SET position = p, last_commit = p WHERE t.id = family;
	INSERT INTO @schema@.committed AS c (id, value) VALUES (family, kept) ON CONFLICT (id) DO UPDATE SET value = excluded.value;
	RETURN @schema@.look(family, 1, p, now);
END $wafer$;

CREATE FUNCTION @schema@.revoke(
	sessions uuid[], of_subjects text[], everyone boolean, of_ring uuid, of_version bigint, spared uuid, basis bigint, proven bytea,
	above bigint, reason text, actor text, tell boolean
) RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $wafer$
DECLARE
	now      bigint := @schema@.lock_head();
	survivor @schema@.families;
	f        @schema@.families;
	spares   boolean := false;
	named    boolean := false;
	found_at bigint;
	entry    bigint := 0;
	outcome  integer := 0;
	ended    integer := 0;
	left_to  integer := 1000; -- rows that it may look at to count
	cut      bigint;
	low      bigint;
	living   integer;
	looked   integer;
	one      uuid;
	whose    text;
	s        @schema@.snapshot;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 102, 0, now);
	END IF;
	IF spared IS NOT NULL THEN
		survivor := @schema@.lock_family(spared);
		spares := @schema@.lives(survivor, now) AND survivor.subject = of_subjects[1];
		named := spares AND survivor.birth < @schema@.name_cutoff(survivor.names);
		IF spares AND NOT named AND basis < survivor.last_commit THEN
			RETURN @schema@.look(spared, 2, 0, now); -- behind
		END IF;
	END IF;
	IF NOT @schema@.room(above, now, cardinality(sessions) + cardinality(of_subjects) + everyone::integer) THEN
		RETURN @schema@.look(NULL, 101, 0, now);
	END IF;
	FOREACH one IN ARRAY sessions LOOP
		f := @schema@.lock_family(one);
		found_at := @schema@.ending(one);
		IF found_at IS NOT NULL OR f.ended THEN
			-- An entry below the floor was dropped: the floor covers it.
			entry := greatest(entry, found_at, (SELECT l.floor FROM @schema@.log l WHERE l.one));
			CONTINUE;
		END IF;
		ended := ended + @schema@.lives(f, now)::integer;
		entry := @schema@.finish(one, reason, actor, above, now, tell);
		outcome := 1;
	END LOOP;
	FOREACH whose IN ARRAY of_subjects LOOP
		cut := @schema@.cutoff(whose, '');
		low := greatest(cut, @schema@.eldest(whose, cut));
		-- Those of the subject, and those in which it acts.
		SELECT count(*) FILTER (WHERE t.lives), count(*) INTO living, looked FROM (
			SELECT c.issued + c.idle > now AND greatest(c.started, c.authenticated) + c.absolute > now
				AND (c.actor = '' OR c.birth >= coalesce((SELECT x.position FROM @schema@.subjects x WHERE x.subject = c.actor), 0)) AS lives
			FROM @schema@.families c WHERE c.subject = whose AND NOT c.ended AND c.birth >= low
			ORDER BY c.birth DESC, c.started DESC, c.id DESC LIMIT left_to) t;
		ended := ended + living;
		left_to := left_to - looked;
		SELECT count(*) FILTER (WHERE t.lives), count(*) INTO living, looked FROM (
			SELECT c.issued + c.idle > now AND greatest(c.started, c.authenticated) + c.absolute > now AND c.subject <> whose
				AND c.birth >= coalesce((SELECT x.position FROM @schema@.subjects x WHERE x.subject = c.subject), 0) AS lives
			FROM @schema@.families c WHERE c.actor = whose AND c.actor <> '' AND NOT c.ended AND c.birth >= cut
			ORDER BY c.birth DESC, c.started DESC, c.id DESC LIMIT left_to) t;
		ended := ended + living;
		left_to := left_to - looked;
		entry := @schema@.append(2, NULL, whose, NULL, NULL, NULL, NULL, reason, actor, above, now, tell);
		outcome := 1;
	END LOOP;
	IF everyone THEN
		entry := @schema@.append(1, NULL, NULL, NULL, NULL, of_ring, of_version, reason, actor, above, now, tell);
		outcome := 1;
	END IF;
	IF spares AND NOT named AND (NOT survivor.counts OR survivor.key IS NOT DISTINCT FROM proven) THEN
		UPDATE @schema@.families t SET birth = entry, position = entry WHERE t.id = spared;
		IF survivor.names IS NOT NULL THEN
			UPDATE @schema@.bearers b SET birth = entry WHERE b.name = ANY (survivor.names) AND b.birth = survivor.birth AND b.started = survivor.started AND b.id = spared;
		END IF;
		ended := ended - 1;
	END IF;
	s := @schema@.look(spared, outcome, entry, now);
	s.ended := greatest(ended, 0);
	IF named THEN
		s.state := 1;
	END IF;
	RETURN s;
END $wafer$;

-- revoke_name appends the entry of a name, unless the log has it, and ends a part of
-- the families that bear the name and were born below that.
CREATE FUNCTION @schema@.revoke_name(of_name bytea, of_id uuid, above bigint, reason text, actor text, tell boolean)
RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $wafer$
DECLARE
	now     bigint := @schema@.lock_head();
	entry   bigint := (SELECT e.position FROM @schema@.entries e WHERE e.id = of_id AND e.name IS NOT NULL
		AND e.position > (SELECT l.floor FROM @schema@.log l WHERE l.one) LIMIT 1);
	below   bigint := coalesce(entry, @schema@.next(above, now));
	outcome integer := 0;
	rest    boolean := false;
	f       @schema@.families;
	dying   uuid[] := '{}';
	dead    uuid[] := '{}';
	one     uuid;
	s       @schema@.snapshot;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 102, 0, now);
	END IF;
	FOR one IN SELECT b.id FROM @schema@.bearers b WHERE b.name = of_name AND b.birth < below ORDER BY b.birth DESC, b.started DESC, b.id DESC LIMIT 1000 LOOP
		rest := cardinality(dying) + cardinality(dead) = 999;
		EXIT WHEN rest;
		f := @schema@.lock_family(one);
		IF @schema@.lives(f, now) THEN
			dying := dying || one;
		ELSE
			dead := dead || one;
		END IF;
	END LOOP;
	IF NOT @schema@.room(above, now, cardinality(dying) + (entry IS NULL)::integer) THEN
		RETURN @schema@.look(NULL, 101, 0, now);
	END IF;
	IF entry IS NULL THEN
		entry := @schema@.append(5, NULL, NULL, of_name, of_id, NULL, NULL, reason, actor, above, now, tell);
		outcome := 1;
	END IF;
	FOREACH one IN ARRAY dying LOOP
		entry := @schema@.finish(one, reason, actor, above, now, tell);
		outcome := 1;
	END LOOP;
	PERFORM @schema@.bury(dead, now);
	s := @schema@.look(NULL, outcome, entry, now);
	s.ended := cardinality(dying);
	s.more := rest;
	RETURN s;
END $wafer$;

CREATE FUNCTION @schema@.restore(
	kinds integer[], sessions uuid[], of_subjects text[], positions bigint[], rings uuid[], versions bigint[], reasons text[], actors text[], above bigint, tell boolean
) RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now     bigint := @schema@.lock_head();
	entry   bigint := 0;
	outcome integer := 0;
	cutoff  bigint;
	lost    boolean;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 102, 0, now);
	END IF;
	FOR i IN 1 .. cardinality(kinds) LOOP
		lost := false;
		cutoff := @schema@.cutoff(CASE WHEN kinds[i] = 2 THEN of_subjects[i] END, '');
		IF kinds[i] = 3 THEN
			lost := @schema@.alive(@schema@.lock_family(sessions[i]));
			-- It is not enough that the family is ended: its end may be below
			-- what was minted before the loss.
			cutoff := greatest(cutoff, (SELECT l.floor FROM @schema@.log l WHERE l.one), @schema@.ending(sessions[i]));
		END IF;
		IF NOT lost AND cutoff >= positions[i] THEN
			CONTINUE;
		END IF;
		IF NOT @schema@.room(above, now, 1) THEN
			RAISE EXCEPTION 'no positions are left above %', greatest(@schema@.head(), above) USING ERRCODE = 'program_limit_exceeded';
		END IF;
		IF kinds[i] = 3 THEN
			entry := @schema@.finish(sessions[i], reasons[i], actors[i], above, now, tell);
		ELSE
			entry := @schema@.append(kinds[i], NULL, CASE WHEN kinds[i] = 2 THEN of_subjects[i] END, NULL, NULL,
				CASE WHEN kinds[i] = 1 THEN rings[i] END, CASE WHEN kinds[i] = 1 THEN versions[i] END, reasons[i], actors[i], above, now, tell);
		END IF;
		outcome := 1;
	END LOOP;
	RETURN @schema@.look(NULL, outcome, entry, now);
END $wafer$;

-- announce notes what a node announces, and returns a row for each of the others, or
-- one without a node if there are none. It locks what was announced, and not the head.
CREATE FUNCTION @schema@.announce(
	a bigint, b bigint, c bigint, d bigint, of_realm text, of_ring uuid, of_version bigint, adopt boolean,
	of_node uuid, of_instance text, of_settings text, life bigint, most integer
) RETURNS TABLE (accepted boolean, realm text, ring uuid, ring_version bigint, now bigint,
	node uuid, instance text, settings text, node_ring uuid, node_version bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $wafer$
#variable_conflict use_column
DECLARE
	k   @schema@.announced;
	at  bigint;
	yes boolean;
BEGIN
	PERFORM @schema@.begin_write();
	PERFORM @schema@.bound_hold();
	SELECT * INTO k FROM @schema@.announced t WHERE t.one FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	at := @schema@.clock();
	yes := adopt OR (of_realm = '' OR k.realm IN ('', of_realm)) AND coalesce(k.ring = of_ring, true);
	IF yes THEN
		IF of_realm <> '' THEN
			k.realm := of_realm;
		END IF;
		IF of_ring IS NOT NULL THEN
			k.ring_version := CASE WHEN adopt OR k.ring IS NULL THEN of_version ELSE greatest(k.ring_version, of_version) END;
			k.ring := of_ring;
		END IF;
		k.access := greatest(k.access, a); k.absolute := greatest(k.absolute, b); k.leeway := greatest(k.leeway, c); k.staleness := greatest(k.staleness, d);
		UPDATE @schema@.announced t SET (access, absolute, leeway, staleness, realm, ring, ring_version)
			= (k.access, k.absolute, k.leeway, k.staleness, k.realm, k.ring, k.ring_version)
		WHERE t.one AND t IS DISTINCT FROM k;
		IF of_node IS NOT NULL THEN
			INSERT INTO @schema@.peers AS p (node, turn, seen, instance, settings, ring, ring_version)
			SELECT of_node, coalesce(max(t.turn), 0) + 1, at, of_instance, of_settings, of_ring, of_version FROM @schema@.peers t
			ON CONFLICT ON CONSTRAINT peers_pkey DO UPDATE SET turn = excluded.turn, seen = excluded.seen, instance = excluded.instance,
				settings = excluded.settings, ring = excluded.ring, ring_version = excluded.ring_version;
			DELETE FROM @schema@.peers p WHERE p.node IN (SELECT t.node FROM @schema@.peers t ORDER BY t.turn DESC OFFSET most);
		END IF;
	END IF;
	RETURN QUERY SELECT yes, k.realm, k.ring, k.ring_version, at, p.node, p.instance, p.settings, p.ring, p.ring_version
	FROM (SELECT 1) x LEFT JOIN @schema@.peers p ON p.node IS DISTINCT FROM of_node AND abs(at - p.seen) <= life ORDER BY p.turn;
END $wafer$;

CREATE FUNCTION @schema@.swap_keys(at bigint, new bytea) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $wafer$
BEGIN
	-- It appends nothing, but it shares transactions with calls that do.
	PERFORM @schema@.lock_head();
	-- What has no document yet takes any version: a key set that moves here keeps its own.
	UPDATE @schema@.keys k SET version = at + 1, document = new WHERE k.one AND k.version IN (at, 0);
	RETURN FOUND;
END $wafer$;

-- tidy removes families past their limits in one bounded step, or ends those whose
-- ids must stay known, and reports whether there was more to do. One node does it at
-- a time.
CREATE FUNCTION @schema@.tidy(most integer) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now  bigint;
	n    integer;
	gone uuid[];
BEGIN
	PERFORM @schema@.begin_write();
	IF NOT pg_try_advisory_xact_lock(hashtextextended(@name@, 7738423::bigint)) THEN
		RETURN false;
	END IF;
	-- A family that was refreshed since it got its due time gets a later one.
	now := @schema@.clock();
	WITH due AS MATERIALIZED (
		SELECT f.id, f.birth, f.started, f.names, f.keep, least(f.issued + f.idle, greatest(f.started, f.authenticated) + f.absolute) AS until FROM @schema@.families f
		WHERE f.due < now ORDER BY f.due LIMIT most FOR NO KEY UPDATE SKIP LOCKED
	), later AS (
		UPDATE @schema@.families f SET due = d.until FROM due d WHERE f.id = d.id AND d.until > now
	), kept AS (
		UPDATE @schema@.families f SET ended = true, due = d.keep FROM due d WHERE f.id = d.id AND d.until <= now AND d.keep >= now
	), removed AS (
		DELETE FROM @schema@.families f USING due d WHERE f.id = d.id AND d.until <= now AND d.keep < now
	), unlisted AS (
		DELETE FROM @schema@.bearers b USING due d WHERE d.until <= now AND b.name = ANY (d.names) AND b.birth = d.birth AND b.started = d.started AND b.id = d.id
	)
	SELECT count(*), array_agg(d.id) FILTER (WHERE d.until <= now AND d.keep < now) INTO n, gone FROM due d;
	-- This is a later statement, so that it sees a value that was committed after
	-- the snapshot of the one above.
	DELETE FROM @schema@.committed c WHERE c.id = ANY (gone);
	RETURN n = most;
END $wafer$;

-- drop drops entries older than the longest announced access lifetime plus leeway,
-- and raises the floor to the last one dropped. It also drops cutoffs of subjects
-- that no living family can be below. It locks the head, and one node does it at a
-- time.
CREATE FUNCTION @schema@.drop(most integer) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $wafer$
DECLARE
	now    bigint;
	before bigint;
	last   bigint;
	n      integer := 0;
	m      integer := 0;
	l      @schema@.log;
	a      @schema@.announced;
BEGIN
	PERFORM @schema@.begin_write();
	-- Most often there is nothing to drop. Then the head is not locked.
	SELECT * INTO l FROM @schema@.log t WHERE t.one;
	SELECT * INTO a FROM @schema@.announced t WHERE t.one;
	now := @schema@.clock();
	IF NOT (a.access > 0 AND coalesce((SELECT e.time < now - a.access - a.leeway FROM @schema@.entries e WHERE e.position > l.floor ORDER BY e.position LIMIT 1), false)
		OR a.absolute > 0 AND EXISTS (SELECT FROM @schema@.subjects c WHERE c.due < now)) THEN
		RETURN false;
	END IF;
	IF NOT pg_try_advisory_xact_lock(hashtextextended(@name@, 7738424::bigint)) THEN
		RETURN false;
	END IF;
	now := @schema@.lock_head();
	SELECT * INTO l FROM @schema@.log t WHERE t.one;
	IF a.access > 0 THEN
		before := now - a.access - a.leeway;
		-- Entries go in order, and none behind one that must stay: a clock may
		-- have jumped.
		SELECT max(t.position), count(*) INTO last, n FROM (
			SELECT e.position, bool_and(e.time < before) OVER (ORDER BY e.position) AS old FROM (
				SELECT x.position, x.time FROM @schema@.entries x WHERE x.position > l.floor ORDER BY x.position LIMIT most) e
		) t WHERE t.old;
		IF n > 0 THEN
			UPDATE @schema@.log t SET floor = last, floor_id = (SELECT e.id FROM @schema@.entries e WHERE e.position = last) WHERE t.one;
			-- The row at the old floor may be there, which was the head then.
			DELETE FROM @schema@.entries e WHERE e.position >= l.floor AND e.position <= last AND e.position < @schema@.head();
			l.floor := last;
		END IF;
	END IF;
	IF a.absolute > 0 AND n < most THEN
		-- A cutoff stays while there is a family that it cuts off, since a clock
		-- that jumped may have given that family more time. It also stays while
		-- its entry is in the log. It is then looked at again after a minute.
		WITH due AS MATERIALIZED (
			SELECT c.subject, c.position, c.time + greatest(a.absolute, a.access) + a.leeway AS until FROM @schema@.subjects c
			WHERE c.due < now ORDER BY c.due LIMIT most
		), judged AS MATERIALIZED (
			SELECT d.subject, CASE WHEN d.until >= now THEN d.until
				WHEN d.position > l.floor
					OR EXISTS (SELECT FROM @schema@.families f WHERE f.subject = d.subject AND NOT f.ended AND f.birth < d.position)
					OR EXISTS (SELECT FROM @schema@.families f WHERE f.actor = d.subject AND f.actor <> '' AND NOT f.ended AND f.birth < d.position)
				THEN now + 60000 END AS later FROM due d
		), kept AS (
			UPDATE @schema@.subjects c SET due = j.later FROM judged j WHERE c.subject = j.subject AND j.later IS NOT NULL
		), dropped AS (
			DELETE FROM @schema@.subjects c USING judged j WHERE c.subject = j.subject AND j.later IS NULL
		)
		SELECT count(*) INTO m FROM judged;
	END IF;
	RETURN n = most OR m = most;
END $wafer$;

-- A log has a random id, and its first entry revokes everyone, so that a new store
-- trusts no older cookie.
INSERT INTO @schema@.keys VALUES (true, 0, NULL);
INSERT INTO @schema@.announced VALUES (true, 0, 0, 0, 0, '', NULL, 0);
INSERT INTO @schema@.entries (position, previous, time, id, kind, reason, actor)
SELECT now * 1000, 0, now, gen_random_uuid(), 1, 'the log begins', '' FROM @schema@.clock() now;
INSERT INTO @schema@.log SELECT true, gen_random_uuid(), 0, NULL, position FROM @schema@.entries;
INSERT INTO @schema@.migrations (version) VALUES (1);
