	.text
	.amdgcn_target "amdgcn-amd-amdhsa--gfx942"
	.globl	gemm_nt
	.type	gemm_nt,@function
gemm_nt:                                ; @gemm_nt
.LBB0_2:
	global_load_ushort v4, v[2:3], off
	global_load_ushort v5, v[2:3], off offset:2
	global_load_ushort v6, v[2:3], off offset:4
	global_load_ushort v7, v[2:3], off offset:6
	s_waitcnt vmcnt(0)
	v_lshl_or_b32 v4, v5, 16, v4
	v_lshl_or_b32 v6, v7, 16, v6
	v_cmp_gt_i32_e32 vcc, s4, v1
	v_cndmask_b32_e32 v4, 0, v4, vcc
	v_cndmask_b32_e32 v6, 0, v6, vcc
	v_add_u32_e32 v2, 64, v2
	ds_write_b32 v1, v4
	ds_write_b32 v1, v6 offset:4
	s_waitcnt lgkmcnt(0)
	s_barrier
	ds_read2_b32 v[10:11], v9 offset1:1
	s_waitcnt lgkmcnt(0)
	v_mfma_f32_16x16x16_bf16_1k a[0:3], v[10:11], v[10:11], a[0:3]
	s_cmp_lt_i32 s6, s12
	s_cbranch_scc1 .LBB0_2
	s_endpgm
	.section	.rodata,"a",@progbits
	.amdhsa_kernel gemm_nt
	.end_amdhsa_kernel
	.text
.Lfunc_end0:
