/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Finding out what is inside a layer, in the thread of its build.  Both fill
 * the layer's index and seal its tree; neither gives out anything that no
 * digest covers, but for what verify=lazy lets readers see meanwhile.
 */
#include "content/layerindex.h"

/*
 * By its table of contents: a request or two.  -EBADMSG: there is none that can
 * be trusted (said in the errors): read it as the archive that it also is.
 */
int pass_toc(struct layerindex *x, struct blob *b, bool in_memory,
	     struct wait *w);
/*
 * One pass over the whole blob, while it is downloaded: entries, restart
 * points, both digests.  What is no archive becomes LAYER_RAW.  An archive that
 * is damaged somewhere (as pushed: the blob's digest is right) is kept up to
 * there.  -EBADMSG: the blob is not what its digest says.  -EFBIG: more
 * entries or bytes than the options allow.
 */
int pass_archive(struct layerindex *x, struct blob *b, bool in_memory,
		 struct wait *w);
