// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The kernel's own zstd. Contexts live in memory that the caller gives. */
#include "shim.h"

#ifdef RZK_PROBE_ZSTD
#include <linux/mm.h>
#include <linux/zstd.h>

/* One block of a page: no checksum, size or dictionary in the frame's header. */
static zstd_parameters parameters(int level)
{
	zstd_parameters parameters = zstd_get_params(level, PAGE_SIZE);

	parameters.fParams.contentSizeFlag = 0;
	parameters.fParams.checksumFlag = 0;
	parameters.fParams.noDictIDFlag = 1;
	return parameters;
}

/* Bytes that a compressor needs for a level. */
size_t rzk_zstd_compressor_bytes(int level)
{
	zstd_parameters needs = parameters(level);

	return zstd_cctx_workspace_bound(&needs.cParams);
}

size_t rzk_zstd_decompressor_bytes(void)
{
	return zstd_dctx_workspace_bound();
}

/* A compressor in memory, or NULL if that is too small. */
void *rzk_zstd_compressor(void *memory, size_t bytes)
{
	return zstd_init_cctx(memory, bytes);
}

void *rzk_zstd_decompressor(void *memory, size_t bytes)
{
	return zstd_init_dctx(memory, bytes);
}

/* Length of a page's chunk, or 0 if it does not fit. */
size_t rzk_zstd_compress(void *context, int level, const void *page, void *out, size_t room)
{
	zstd_parameters how = parameters(level);
	size_t length = zstd_compress_cctx(context, out, room, page, PAGE_SIZE, &how);

	return zstd_is_error(length) ? 0 : length;
}

/* Whether a chunk gave back a whole page. */
bool rzk_zstd_decompress(void *context, const void *chunk, size_t length, void *page)
{
	return zstd_decompress_dctx(context, page, PAGE_SIZE, chunk, length) == PAGE_SIZE;
}

#else /* the core asks rzk_features() first */

size_t rzk_zstd_compressor_bytes(int level)
{
	return 0;
}

size_t rzk_zstd_decompressor_bytes(void)
{
	return 0;
}

void *rzk_zstd_compressor(void *memory, size_t bytes)
{
	return NULL;
}

void *rzk_zstd_decompressor(void *memory, size_t bytes)
{
	return NULL;
}

size_t rzk_zstd_compress(void *context, int level, const void *page, void *out, size_t room)
{
	return 0;
}

bool rzk_zstd_decompress(void *context, const void *chunk, size_t length, void *page)
{
	return false;
}
#endif
