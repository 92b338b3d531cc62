/* Copies whose sides were checked: device memory pinned, host memory NULL in `blocks`. They unpin it. */
#ifndef SIM_API_COPIES_H
#define SIM_API_COPIES_H

#include "core/queue.h"

void sim_api_copy_now(void *dst, void *src, size_t bytes, sim_block *blocks[2]);
cnrtRet_t sim_api_copy_later(sim_queue *queue, void *dst, void *src, size_t bytes, sim_block *blocks[2]);

#endif
