/* SPDX-License-Identifier: Apache-2.0 */
/* An inventory for people, and as JSON. */
#include "store/inventory.h"

#include "util/json.h"

static int print_totals(const struct inventory *v, size_t pending,
			struct str *out)
{
	char a[STR_BYTES_MAX], b[STR_BYTES_MAX];
	const struct store_stats *st = &v->stats;
	int r;

	r = str_addf(out,
		     "cache:     %s\n"
		     "data:      %s of %s, %llu blobs (%llu verified)\n",
		     v->dir ? v->dir : "in memory only",
		     str_bytes(st->bytes, a), str_bytes(st->size_bytes, b),
		     (unsigned long long)st->blobs,
		     (unsigned long long)st->verified_blobs);
	if (r == 0)
		r = str_addf(out,
			     "indexes:   %s, %llu\n"
			     "database:  %s, %llu documents, %llu tags\n",
			     str_bytes(st->tree_bytes, a),
			     (unsigned long long)st->trees,
			     str_bytes(v->database_bytes, b),
			     (unsigned long long)st->documents,
			     (unsigned long long)st->tags);
	if (r == 0)
		r = str_addf(out, "spool:     %s, %llu files being written\n",
			     str_bytes(v->spool.bytes, a),
			     (unsigned long long)v->spool.stages);
	if (r == 0)
		r = str_addf(out, "pending:   %zu images\n", pending);
	if (r == 0)
		r = str_addf(out, "free:      %s, of which %s are left alone\n",
			     str_bytes(st->disk_free_bytes, a),
			     str_bytes(v->min_free_bytes, b));
	return r == 0 ? str_addf(out, "room:      %s for data\n",
				 str_bytes(v->room_bytes, a))
		      : r;
}

int inventory_print(const struct inventory *v, size_t pending, struct str *out)
{
	char a[STR_BYTES_MAX], b[STR_BYTES_MAX];
	int r = print_totals(v, pending, out);

	if (r == 0 && v->len > 0)
		r = str_addf(out, "\n%8s %12s %8s %12s  %s\n", "BLOBS", "BYTES",
			     "INDEXES", "BYTES", "REPOSITORY");
	for (size_t i = 0; i < v->len && r == 0; i++) {
		const struct inventory_line *l = &v->lines[i];

		r = str_addf(out, "%8llu %12s %8llu %12s  %s/%s\n",
			     (unsigned long long)l->blobs,
			     str_bytes(l->blob_bytes, a),
			     (unsigned long long)l->trees,
			     str_bytes(l->tree_bytes, b), l->host,
			     l->repository);
	}
	return r;
}

/* --- JSON --- */

static int add_text(struct str *out, const char *key, const char *value)
{
	int r = str_addf(out, "\"%s\":", key);

	if (r < 0)
		return r;
	return value ? json_add_string(out, value) : str_add(out, "null");
}

static int print_line_json(const struct inventory_line *l, struct str *out)
{
	int r = str_addc(out, '{');

	if (r == 0)
		r = add_text(out, "host", l->host);
	if (r == 0)
		r = str_addc(out, ',');
	if (r == 0)
		r = add_text(out, "repository", l->repository);
	if (r < 0)
		return r;
	return str_addf(out,
			",\"blobs\":%llu,\"bytes\":%llu,\"indexes\":%llu,"
			"\"index_bytes\":%llu}",
			(unsigned long long)l->blobs,
			(unsigned long long)l->blob_bytes,
			(unsigned long long)l->trees,
			(unsigned long long)l->tree_bytes);
}

static int print_totals_json(const struct inventory *v, size_t pending,
			     struct str *out)
{
	const struct store_stats *st = &v->stats;
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{"bytes", st->bytes},
		{"size", st->size_bytes},
		{"room", v->room_bytes},
		{"blobs", st->blobs},
		{"verified", st->verified_blobs},
		{"indexes", st->trees},
		{"index_bytes", st->tree_bytes},
		{"database_bytes", v->database_bytes},
		{"documents", st->documents},
		{"tags", st->tags},
		{"spool_files", v->spool.stages},
		{"spool_bytes", v->spool.bytes},
		{"pending", pending},
		{"free", st->disk_free_bytes},
		{"min_free", v->min_free_bytes},
	};
	int r = str_addc(out, '{');

	if (r == 0)
		r = add_text(out, "directory", v->dir);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (r == 0)
			r = str_addf(out, ",\"%s\":%llu", numbers[i].key,
				     (unsigned long long)numbers[i].value);
	return r;
}

int inventory_print_json(const struct inventory *v, size_t pending,
			 struct str *out)
{
	int r = print_totals_json(v, pending, out);

	if (r == 0)
		r = str_add(out, ",\"repositories\":[");
	for (size_t i = 0; i < v->len && r == 0; i++) {
		if (i > 0)
			r = str_addc(out, ',');
		if (r == 0)
			r = print_line_json(&v->lines[i], out);
	}
	return r == 0 ? str_add(out, "]}\n") : r;
}
