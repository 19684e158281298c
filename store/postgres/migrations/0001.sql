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
	one       boolean PRIMARY KEY CHECK (one),
	id        uuid    NOT NULL,
	floor     bigint  NOT NULL,
	everyone  bigint  NOT NULL, -- the cutoff of everyone
	access    bigint  NOT NULL, -- the longest announced, in milliseconds
	absolute  bigint  NOT NULL,
	leeway    bigint  NOT NULL,
	staleness bigint  NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE @schema@.keys (
	one      boolean PRIMARY KEY CHECK (one),
	version  bigint  NOT NULL,
	document bytea
);

-- The table is never empty: housekeeping keeps the newest entry.
CREATE TABLE @schema@.entries (
	position bigint   PRIMARY KEY,
	previous bigint   NOT NULL,
	time     bigint   NOT NULL,
	id       uuid     NOT NULL,
	session  uuid,
	kind     smallint NOT NULL,
	subject  text     COLLATE "C",
	reason   text     NOT NULL,
	actor    text     NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_insert_scale_factor = 0.5);
CREATE INDEX entries_session ON @schema@.entries (session, kind, position) WHERE session IS NOT NULL;

CREATE TABLE @schema@.subjects (
	subject  text   COLLATE "C" PRIMARY KEY,
	position bigint NOT NULL,
	time     bigint NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX subjects_time ON @schema@.subjects (time);

-- A refresh changes no indexed column, and the pages have room, so the row's new
-- version stays on its page and no index is updated (HOT).
CREATE TABLE @schema@.families (
	id            uuid    PRIMARY KEY,
	birth         bigint  NOT NULL,
	position      bigint  NOT NULL,
	last_commit   bigint  NOT NULL,
	generation    bigint  NOT NULL,
	copy          integer NOT NULL,
	used          integer NOT NULL,
	started       bigint  NOT NULL, -- times are in milliseconds since 1970
	authenticated bigint  NOT NULL,
	issued        bigint  NOT NULL,
	idle          bigint  NOT NULL,
	absolute      bigint  NOT NULL,
	due           bigint  NOT NULL, -- when housekeeping looks at it next
	native        boolean NOT NULL,
	ended         boolean NOT NULL,
	subject       text    COLLATE "C" NOT NULL,
	label         text    NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX families_subject ON @schema@.families (subject, started);
CREATE INDEX families_due ON @schema@.families (due);

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
	id            uuid,
	subject       text,
	label         text,
	native        boolean,
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

-- lock_head locks the head, under which positions are assigned, and returns the
-- time. A birth is checked in a later statement, which therefore sees every
-- revocation that the lock has waited for.
CREATE FUNCTION @schema@.lock_head() RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	PERFORM @schema@.begin_write();
	-- A node that is cut off from the network while its group is under way holds
	-- the lock until the server gives up the connection. That must happen soon,
	-- and not after the default of hours.
	PERFORM set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', '2', true),
		set_config('tcp_keepalives_count', '3', true), set_config('tcp_user_timeout', '10000', true);
	PERFORM 1 FROM @schema@.log WHERE one FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	RETURN @schema@.clock();
END $wafer$;

CREATE FUNCTION @schema@.head() RETURNS bigint LANGUAGE sql VOLATILE AS
$wafer$ SELECT position FROM @schema@.entries ORDER BY position DESC LIMIT 1 $wafer$;

-- room reports whether n more entries can have positions of 53 bits.
CREATE FUNCTION @schema@.room(above bigint, now bigint, n integer) RETURNS boolean LANGUAGE sql VOLATILE AS
$wafer$ SELECT n = 0 OR greatest(@schema@.head() + 1, above + 1, now * 1000) + n - 1 <= 9007199254740991 $wafer$;

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
			WHEN f.birth < greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject)) THEN 2 ELSE 3 END,
		f.id, f.subject, f.label, f.native, f.birth, f.position, f.last_commit, f.generation, f.copy, f.used,
		f.started, f.authenticated, f.issued, f.idle, f.absolute,
		CASE WHEN f.last_commit <> 0 THEN (SELECT v.value FROM @schema@.committed v WHERE v.id = f.id) END
	INTO s
	FROM @schema@.log l LEFT JOIN @schema@.families f ON f.id = look.family
	WHERE l.one;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
	RETURN s;
END $wafer$;

-- append adds an entry and returns its position. The caller has locked the head.
CREATE FUNCTION @schema@.append(kind integer, session uuid, subject text, reason text, actor text, above bigint, now bigint, tell boolean)
RETURNS bigint LANGUAGE plpgsql AS $wafer$
#variable_conflict use_variable
DECLARE
	head bigint := @schema@.head();
	p    bigint := greatest(head + 1, above + 1, now * 1000);
BEGIN
	INSERT INTO @schema@.entries (position, previous, time, id, session, kind, subject, reason, actor)
	VALUES (p, head, now, gen_random_uuid(), session, kind, subject, reason, actor);
	IF kind = 1 THEN
		UPDATE @schema@.log l SET everyone = p WHERE l.one;
	ELSIF kind = 2 THEN
		INSERT INTO @schema@.subjects AS c (subject, position, time) VALUES (subject, p, now)
		ON CONFLICT ON CONSTRAINT subjects_pkey DO UPDATE SET position = excluded.position, time = excluded.time;
	END IF;
	IF tell THEN
		PERFORM pg_notify('wafer', @name@); -- one notice a transaction, for any number of entries
	END IF;
	RETURN p;
END $wafer$;

-- alive locks a family and reports whether it is alive and, at the time now,
-- within its limits. The caller has locked the head, so no cutoff rises meanwhile.
CREATE FUNCTION @schema@.alive(family uuid, now bigint) RETURNS boolean LANGUAGE plpgsql AS $wafer$
DECLARE
	f @schema@.families;
BEGIN
	SELECT * INTO f FROM @schema@.families t WHERE t.id = family FOR NO KEY UPDATE;
	RETURN FOUND AND NOT f.ended AND f.issued + f.idle > now AND f.absolute > now
		AND f.birth >= (SELECT greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject))
			FROM @schema@.log l WHERE l.one);
END $wafer$;

-- finish ends a family, if it is present, and appends its entry. The caller has locked the head.
CREATE FUNCTION @schema@.finish(family uuid, reason text, actor text, above bigint, now bigint, tell boolean)
RETURNS bigint LANGUAGE plpgsql AS $wafer$
BEGIN
	UPDATE @schema@.families f SET ended = true WHERE f.id = family;
	RETURN @schema@.append(3, family, NULL, reason, actor, above, now, tell);
END $wafer$;

CREATE FUNCTION @schema@.create_family(
	family uuid, of_subject text, new_label text, is_native boolean, idle_limit bigint, absolute_limit bigint,
	not_before bigint, ends uuid[], renews uuid, basis bigint, authenticates boolean,
	most integer, end_oldest boolean, kept bytea, above bigint, reason text, actor text, tell boolean
) RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now       bigint := @schema@.lock_head();
	cutoff    bigint;
	highest   bigint;
	old       @schema@.families;
	new       @schema@.families;
	one       uuid;
	dying     uuid[] := '{}';
	others    uuid[];
	over      integer;
	appended  bigint := 0;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 10, 0, now);
	END IF;
	IF EXISTS (SELECT FROM @schema@.families f WHERE f.id = family)
		OR EXISTS (SELECT FROM @schema@.entries e WHERE e.session = family AND e.kind = 3) THEN
		RETURN @schema@.look(family, 5, 0, now); -- taken
	END IF;
	SELECT greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = of_subject)), l.floor
		INTO cutoff, highest FROM @schema@.log l WHERE l.one;
	highest := greatest(highest, cutoff);
	IF not_before <> 0 AND not_before < highest THEN
		RETURN @schema@.look(NULL, 3, 0, now); -- early
	END IF;
	new.id := family; new.subject := of_subject; new.label := new_label; new.native := is_native; new.generation := 1;
	new.copy := 0; new.used := 0; new.last_commit := 0; new.ended := false;
	new.started := now; new.authenticated := now; new.issued := now; new.idle := idle_limit; new.absolute := now + absolute_limit;
	IF renews IS NOT NULL THEN
		IF NOT @schema@.alive(renews, now) THEN
			RETURN @schema@.look(renews, 0, 0, now);
		END IF;
		SELECT * INTO old FROM @schema@.families f WHERE f.id = renews;
		IF old.subject <> of_subject OR old.native <> is_native THEN
			RETURN @schema@.look(renews, 0, 0, now);
		END IF;
		IF basis < old.last_commit THEN
			RETURN @schema@.look(renews, 2, 0, now); -- behind
		END IF;
		new.started := old.started; new.idle := old.idle; new.absolute := old.absolute; new.label := old.label;
		IF NOT authenticates THEN
			new.authenticated := old.authenticated;
		END IF;
		IF old.last_commit = 0 THEN
			kept := NULL;
		END IF;
		dying := ARRAY[renews];
	ELSE
		kept := NULL;
	END IF;
	FOREACH one IN ARRAY ends LOOP
		-- Time 0: a family past its limits is ended as well.
		IF one <> ALL (dying) AND (@schema@.alive(one, 0) OR
			NOT EXISTS (SELECT FROM @schema@.families f WHERE f.id = one)
			AND NOT EXISTS (SELECT FROM @schema@.entries e WHERE e.session = one AND e.kind = 3)) THEN
			dying := dying || one;
		END IF;
	END LOOP;
	IF most > 0 THEN
		SELECT coalesce(array_agg(f.id ORDER BY f.started DESC, f.id DESC), '{}') INTO others FROM @schema@.families f
		WHERE f.subject = of_subject AND NOT f.ended AND f.birth >= cutoff AND f.issued + f.idle > now AND f.absolute > now
			AND f.id <> ALL (dying);
		over := cardinality(others) + 1 - most;
		IF over > 0 AND NOT end_oldest THEN
			RETURN @schema@.look(NULL, 4, 0, now); -- full
		END IF;
		IF over > 0 THEN
			dying := dying || others[cardinality(others) - over + 1:];
		END IF;
	END IF;
	IF NOT @schema@.room(above, now, cardinality(dying)) THEN
		RETURN @schema@.look(NULL, 9, 0, now);
	END IF;
	FOREACH one IN ARRAY dying LOOP
		appended := @schema@.finish(one, reason, actor, above, now, tell);
	END LOOP;
	new.birth := @schema@.head();
	new.position := new.birth;
	new.due := new.issued + new.idle;
	IF kept IS NOT NULL THEN
		new.last_commit := new.birth;
		INSERT INTO @schema@.committed (id, value) VALUES (family, kept);
	END IF;
	INSERT INTO @schema@.families SELECT new.*;
	RETURN @schema@.look(family, 1, appended, now);
END $wafer$;

-- refresh does one thing to each family, by the kind of the request: 1 makes the
-- next generation, 2 makes a copy in place of a lost answer, and 3 raises the
-- position alone. It does not lock the head: it reads the log in the same snapshot in
-- which it checks the births, so a later revocation of a family has a position above
-- the one that refresh writes. An earlier statement locks the rows, so that they
-- cannot change under that snapshot: as they are judged, they are written.
--
-- It never waits for one row while it holds another: the outcome for a locked row
-- is 8. Only with wait, which is for a single family, does it wait for the row.
CREATE FUNCTION @schema@.refresh(
	ids uuid[], kinds integer[], generations bigint[], copies integer[], natives boolean[], bases bigint[],
	ages bigint[], lags integer[], skews bigint[], wait boolean
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
				WHEN held IS NULL OR f.id <> ALL (held) THEN 8
				WHEN f.ended OR f.birth < c.cutoff OR f.issued + f.idle <= now OR f.absolute <= now OR f.native <> a.native
					OR NOT CASE a.kind
						WHEN 1 THEN f.generation = a.generation AND f.copy >= a.copy AND (c.long_ago OR a.lag > 0 AND f.copy - a.copy >= a.lag)
						WHEN 2 THEN f.generation = a.generation + 1 AND f.used = a.copy AND f.copy < 4095 AND c.long_ago
						ELSE f.generation = a.generation END THEN 0
				WHEN f.last_commit > a.basis THEN 2
				ELSE 1 END AS outcome,
			f.id, f.subject, f.label, f.native, f.birth, f.position, f.last_commit, f.generation, f.copy, f.used,
			f.started, f.authenticated, f.issued, f.idle, f.absolute
		FROM unnest(ids, kinds, generations, copies, natives, bases, ages, lags, skews) WITH ORDINALITY
			AS a (id, kind, generation, copy, native, basis, age, lag, skew, n)
		CROSS JOIN log l
		LEFT JOIN @schema@.families f ON f.id = a.id
		CROSS JOIN LATERAL (
			SELECT greatest(l.everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = f.subject)) AS cutoff,
				-- An issue time far ahead is from before the clock was set back.
				now - f.issued >= a.age OR f.issued - now > a.skew AS long_ago
		) c
	), written AS (
		UPDATE @schema@.families f
		SET generation = f.generation + CASE j.kind WHEN 1 THEN 1 ELSE 0 END,
			copy = CASE j.kind WHEN 1 THEN 0 WHEN 2 THEN f.copy + 1 ELSE f.copy END,
			used = CASE j.kind WHEN 1 THEN j.presented ELSE f.used END,
			issued = CASE j.kind WHEN 3 THEN f.issued ELSE now END,
			position = greatest(f.position, j.head)
		FROM judged j
		WHERE f.id = j.id AND j.outcome = 1
		RETURNING j.n, f.position, f.generation, f.copy, f.used, f.issued
	)
	SELECT j.n::integer - 1, j.outcome, 0::bigint, j.log, j.head, j.floor, now, j.state,
		j.id, j.subject, j.label, j.native, j.birth, coalesce(w.position, j.position), j.last_commit,
		coalesce(w.generation, j.generation), coalesce(w.copy, j.copy), coalesce(w.used, j.used),
		j.started, j.authenticated, coalesce(w.issued, j.issued), j.idle, j.absolute,
		CASE WHEN j.last_commit <> 0 THEN (SELECT v.value FROM @schema@.committed v WHERE v.id = j.id) END
	FROM judged j LEFT JOIN written w ON w.n = j.n;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the log is gone; restore it from a backup';
	END IF;
END $wafer$;

CREATE FUNCTION @schema@.commit_value(family uuid, basis bigint, kept bytea, above bigint, actor text, tell boolean)
RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now bigint := @schema@.lock_head();
	p   bigint;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 10, 0, now);
	END IF;
	IF NOT @schema@.alive(family, now) THEN
		RETURN @schema@.look(family, 0, 0, now);
	END IF;
	IF basis < (SELECT f.last_commit FROM @schema@.families f WHERE f.id = family) THEN
		RETURN @schema@.look(family, 2, 0, now); -- behind
	END IF;
	IF NOT @schema@.room(above, now, 1) THEN
		RETURN @schema@.look(NULL, 9, 0, now);
	END IF;
	p := @schema@.append(4, family, NULL, 'commit', actor, above, now, tell);
	UPDATE @schema@.families f SET position = p, last_commit = p WHERE f.id = family;
	INSERT INTO @schema@.committed AS c (id, value) VALUES (family, kept) ON CONFLICT (id) DO UPDATE SET value = excluded.value;
	RETURN @schema@.look(family, 1, p, now);
END $wafer$;

CREATE FUNCTION @schema@.revoke(sessions uuid[], of_subjects text[], everyone boolean, spared uuid, basis bigint, above bigint, reason text, actor text, tell boolean)
RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now      bigint := @schema@.lock_head();
	lives    boolean := false;
	found_at bigint;
	entry    bigint := 0;
	outcome  integer := 0;
	one      uuid;
	subject  text;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 10, 0, now);
	END IF;
	IF spared IS NOT NULL AND @schema@.alive(spared, now) THEN
		lives := (SELECT f.subject = of_subjects[1] FROM @schema@.families f WHERE f.id = spared);
		IF lives AND basis < (SELECT f.last_commit FROM @schema@.families f WHERE f.id = spared) THEN
			RETURN @schema@.look(spared, 2, 0, now); -- behind
		END IF;
	END IF;
	IF NOT @schema@.room(above, now, cardinality(sessions) + cardinality(of_subjects) + everyone::integer) THEN
		RETURN @schema@.look(NULL, 9, 0, now);
	END IF;
	FOREACH one IN ARRAY sessions LOOP
		UPDATE @schema@.families f SET ended = true WHERE f.id = one AND NOT f.ended;
		IF NOT FOUND THEN
			-- The family is absent or has ended. Its entry may be there already.
			SELECT max(e.position) INTO found_at FROM @schema@.entries e WHERE e.session = one AND e.kind = 3;
			IF found_at IS NOT NULL OR EXISTS (SELECT FROM @schema@.families f WHERE f.id = one) THEN
				-- An entry below the floor was dropped: the floor covers it.
				entry := greatest(entry, found_at, (SELECT l.floor FROM @schema@.log l WHERE l.one));
				CONTINUE;
			END IF;
		END IF;
		entry := @schema@.append(3, one, NULL, reason, actor, above, now, tell);
		outcome := 1;
	END LOOP;
	FOREACH subject IN ARRAY of_subjects LOOP
		entry := @schema@.append(2, NULL, subject, reason, actor, above, now, tell);
		outcome := 1;
	END LOOP;
	IF everyone THEN
		entry := @schema@.append(1, NULL, NULL, reason, actor, above, now, tell);
		outcome := 1;
	END IF;
	IF lives THEN
		UPDATE @schema@.families f SET birth = entry, position = entry WHERE f.id = spared;
	END IF;
	RETURN @schema@.look(spared, outcome, entry, now);
END $wafer$;

CREATE FUNCTION @schema@.restore(kinds integer[], sessions uuid[], of_subjects text[], positions bigint[], reasons text[], actors text[], above bigint, tell boolean)
RETURNS @schema@.snapshot LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now      bigint := @schema@.lock_head();
	entry    bigint := 0;
	outcome  integer := 0;
	everyone bigint;
	floor    bigint;
	cutoff   bigint;
	lost     boolean;
BEGIN
	IF NOT @schema@.near(above, now) THEN
		RETURN @schema@.look(NULL, 10, 0, now);
	END IF;
	FOR i IN 1 .. cardinality(kinds) LOOP
		SELECT l.everyone, l.floor INTO everyone, floor FROM @schema@.log l WHERE l.one;
		lost := false;
		IF kinds[i] = 2 THEN
			cutoff := greatest(everyone, (SELECT c.position FROM @schema@.subjects c WHERE c.subject = of_subjects[i]));
		ELSIF kinds[i] = 3 THEN
			lost := @schema@.alive(sessions[i], 0);
			-- It is not enough that the family is ended: its end may be below
			-- what was minted before the loss.
			cutoff := greatest(everyone, floor, (SELECT max(e.position) FROM @schema@.entries e WHERE e.session = sessions[i] AND e.kind = 3));
		ELSE
			cutoff := everyone;
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
			entry := @schema@.append(kinds[i], NULL, CASE WHEN kinds[i] = 2 THEN of_subjects[i] END, reasons[i], actors[i], above, now, tell);
		END IF;
		outcome := 1;
	END LOOP;
	RETURN @schema@.look(NULL, outcome, entry, now);
END $wafer$;

CREATE FUNCTION @schema@.announce(a bigint, b bigint, c bigint, d bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $wafer$
BEGIN
	PERFORM @schema@.lock_head();
	UPDATE @schema@.log l SET access = greatest(l.access, a), absolute = greatest(l.absolute, b), leeway = greatest(l.leeway, c), staleness = greatest(l.staleness, d)
	WHERE l.one AND (l.access < a OR l.absolute < b OR l.leeway < c OR l.staleness < d);
END $wafer$;

CREATE FUNCTION @schema@.swap_keys(at bigint, new bytea) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $wafer$
BEGIN
	-- It appends nothing, but it shares transactions with calls that do.
	PERFORM @schema@.lock_head();
	UPDATE @schema@.keys k SET version = k.version + 1, document = new WHERE k.one AND k.version = at;
	RETURN FOUND;
END $wafer$;

-- tidy removes families past their limits in one bounded step, and reports whether
-- there was more to do. One node does it at a time.
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
		SELECT f.id, least(f.issued + f.idle, f.absolute) AS later FROM @schema@.families f
		WHERE f.due < now ORDER BY f.due LIMIT most FOR NO KEY UPDATE SKIP LOCKED
	), later AS (
		UPDATE @schema@.families f SET due = d.later FROM due d WHERE f.id = d.id AND d.later > now
	), removed AS (
		DELETE FROM @schema@.families f USING due d WHERE f.id = d.id AND d.later <= now
	)
	SELECT count(*), array_agg(d.id) FILTER (WHERE d.later <= now) INTO n, gone FROM due d;
	-- This is a later statement, so that it sees a value that was committed after
	-- the snapshot of the one above.
	DELETE FROM @schema@.committed c WHERE c.id = ANY (gone);
	RETURN n = most;
END $wafer$;

-- drop drops entries older than the longest announced access lifetime plus leeway,
-- and raises the floor to the last one dropped. It also drops cutoffs of subjects
-- that no living family can be below. It locks the head, and one node does it at a
-- time.
CREATE FUNCTION @schema@.drop(most integer) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $wafer$
DECLARE
	now    bigint;
	before bigint;
	last   bigint;
	n      integer := 0;
	m      integer := 0;
	l      @schema@.log;
BEGIN
	PERFORM @schema@.begin_write();
	-- Most often there is nothing to drop. Then the head is not locked.
	SELECT * INTO l FROM @schema@.log t WHERE t.one;
	now := @schema@.clock();
	IF NOT (l.access > 0 AND coalesce((SELECT e.time < now - l.access - l.leeway FROM @schema@.entries e WHERE e.position > l.floor ORDER BY e.position LIMIT 1), false)
		OR l.absolute > 0 AND EXISTS (SELECT FROM @schema@.subjects c WHERE c.time < now - greatest(l.absolute, l.access) - l.leeway AND c.position <= l.floor)) THEN
		RETURN false;
	END IF;
	IF NOT pg_try_advisory_xact_lock(hashtextextended(@name@, 7738424::bigint)) THEN
		RETURN false;
	END IF;
	now := @schema@.lock_head();
	SELECT * INTO l FROM @schema@.log t WHERE t.one;
	IF l.access > 0 THEN
		before := now - l.access - l.leeway;
		-- Entries go in order, and none behind one that must stay: a clock may
		-- have jumped. The newest stays at any age, since it is the head.
		SELECT max(t.position), count(*) INTO last, n FROM (
			SELECT e.position, bool_and(e.time < before) OVER (ORDER BY e.position) AS old FROM (
				SELECT x.position, x.time FROM @schema@.entries x WHERE x.position > l.floor ORDER BY x.position LIMIT most) e
		) t WHERE t.old AND t.position < @schema@.head();
		IF n > 0 THEN
			DELETE FROM @schema@.entries e WHERE e.position > l.floor AND e.position <= last;
			UPDATE @schema@.log t SET floor = last WHERE t.one;
			l.floor := last;
		END IF;
	END IF;
	IF l.absolute > 0 THEN
		before := now - greatest(l.absolute, l.access) - l.leeway;
		-- A cutoff stays while there is a family that it cuts off, since a clock
		-- that jumped may have given that family more time. It also stays while
		-- its entry is in the log.
		DELETE FROM @schema@.subjects c WHERE c.subject IN (
			SELECT s.subject FROM @schema@.subjects s WHERE s.time < before AND s.position <= l.floor AND NOT EXISTS (
				SELECT FROM @schema@.families f WHERE f.subject = s.subject AND f.birth < s.position)
			ORDER BY s.time LIMIT most);
		GET DIAGNOSTICS m = ROW_COUNT;
	END IF;
	RETURN n = most OR m = most;
END $wafer$;

-- A log has a random id, and its first entry revokes everyone, so that a new store
-- trusts no older cookie.
INSERT INTO @schema@.keys VALUES (true, 0, NULL);
INSERT INTO @schema@.entries (position, previous, time, id, kind, reason, actor)
SELECT now * 1000, 0, now, gen_random_uuid(), 1, 'the log begins', '' FROM @schema@.clock() now;
INSERT INTO @schema@.log SELECT true, gen_random_uuid(), 0, position, 0, 0, 0, 0 FROM @schema@.entries;
INSERT INTO @schema@.migrations (version) VALUES (1);
