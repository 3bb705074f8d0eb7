import { reactRouter } from '@react-router/dev/vite';

export default {
  define: { __DEPLOYMENT__: JSON.stringify(process.env.DEPLOYMENT ?? 'a') },
  plugins: [reactRouter()],
};
