/* SPDX-License-Identifier: Apache-2.0 */
/* What `.registryfs/transfers` shows of uploads: the columns of downloads. */
#include "push/sending.h"
#include "util/clock.h"

#define BAR_CELLS 20

static int print_sizes(const struct sending *s, struct str *out)
{
	uint64_t ms = clock_ms() - s->started_ms;
	uint64_t rate = ms ? s->sent * 1000 / ms : 0;
	uint64_t left = s->total > s->sent ? s->total - s->sent : 0;

	if (s->total == FEED_SIZE_UNKNOWN)
		return str_addf(out, "%llu bytes, %llu bytes/s",
				(unsigned long long)s->sent,
				(unsigned long long)rate);
	return str_addf(out, "%llu of %llu bytes, %llu bytes/s, %llu s left",
			(unsigned long long)s->sent,
			(unsigned long long)s->total, (unsigned long long)rate,
			(unsigned long long)(rate ? left / rate : 0));
}

static int cells_of(const struct sending *s)
{
	if (s->total == FEED_SIZE_UNKNOWN || s->total == 0)
		return 0;
	if (s->sent >= s->total)
		return BAR_CELLS;
	return (int)((double)s->sent / (double)s->total * BAR_CELLS);
}

static int print_sending(const struct sending *s, struct str *out)
{
	static const char full[] = "####################";
	char digest[24];
	int r;

	digest_short(&s->digest, digest);
	r = str_addf(out, "[%-*.*s] %s/%s %s out: ", BAR_CELLS, cells_of(s),
		     full, repo_host(s->repo), repo_name(s->repo), digest);
	if (r == 0)
		r = s->state == SENDING_RUNNING ? print_sizes(s, out)
						: str_add(out, "queued");
	if (r == 0)
		r = str_add(out, s->claimed ? "\n" : ", ahead\n");
	return r;
}

int uploads_print(struct uploads *u, struct str *out)
{
	struct list_node *const lists[] = {&u->running, &u->wanted, &u->ahead};
	int r = 0;

	autolock(&u->lock);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_for(n, lists[i]) {
			if (r < 0)
				return r;
			r = print_sending(container_of(n, struct sending, node),
					  out);
		}
	return r;
}

void uploads_count(struct uploads *u, struct upload_counts *ret)
{
	struct upload_counts c = {0};

	autolock(&u->lock);
	list_for(n, &u->running) {
		const struct sending *s = container_of(n, struct sending, node);

		c.running++;
		c.sent_bytes += s->sent;
	}
	list_for(n, &u->wanted)
		c.queued++;
	list_for(n, &u->ahead)
		c.queued++;
	*ret = c;
}
