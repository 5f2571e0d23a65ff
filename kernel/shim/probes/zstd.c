// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Has the kernel zstd, both ways? */
#include <linux/kconfig.h>
#include <linux/zstd.h>

#if !IS_ENABLED(CONFIG_ZSTD_COMPRESS) || !IS_ENABLED(CONFIG_ZSTD_DECOMPRESS)
#error "no zstd"
#endif

size_t probe(zstd_cctx *context, void *out, size_t room, const void *page);
size_t probe(zstd_cctx *context, void *out, size_t room, const void *page)
{
	zstd_parameters parameters = zstd_get_params(1, 4096);

	parameters.fParams.contentSizeFlag = 0;
	return zstd_compress_cctx(context, out, room, page, 4096, &parameters);
}
