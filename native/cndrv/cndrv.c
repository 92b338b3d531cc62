/* libcndrv.so: what build files of CNRT programs link beside libcnrt.so without calling anything in it. It is empty: whoever
 * does call the driver is told so by the linker, not by a function that pretends. */
typedef int sim_cndrv_is_empty; /* ISO C wants a declaration */
